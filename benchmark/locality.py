"""Choose the locality set D_l of a base model: images near its boundary that it gets right.

    python -m benchmark.locality --base vitb16 --imagenet DIR --imagenet-r DIR --imagenet-sketch DIR --out DIR

The paper's two criteria (5.1; SPEC, 2): the top-1 class is the true label, and p(top-1) - p(top-2) < 0.05. Both
use the softmax over all 1,000 classes, for ImageNet-R too, whose images are of 200: the paper does not
say, and it is the 1,000-way model that is edited. Always float32. With --data, the rules of `benchmark.data.further`
choose two more splits from the images of --imagenet, none of which is in that data set. The output folder then holds

    images/<synset id>/*   the chosen images as they were, one folder a class
    images/selection.csv   file, source, source_id, label, base_prediction, margin, sha256: one row an image
    taken/, far/           with --data, the same for `locality_taken` and `locality_far`
    margins.png            the margins of all images that the base gets right, one panel a source
    skipped.csv            image, error: what did not decode
    locality.json          base, margin, inputs and counts
    SHA256SUMS             these files: the folder is replaced as a whole as long as no others lie in it

and `python -m benchmark.build --locality DIR/images` takes it, as --locality-taken and --locality-far take the others.
The base's predictions are kept in ~/.cache/vit-edit-bench (or VIT_EDIT_BENCH_CACHE): a run that was stopped goes on,
another --margin costs nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core import options
from benchmark.core.checksums import write_checksums
from benchmark.core.csvs import write_frame
from benchmark.core.errors import UserError
from benchmark.core.files import cache_folder, write_text
from benchmark.core.ranges import Share
from benchmark.core.text import plotted
from benchmark.core.workdir import Kind, check_replaceable
from benchmark.data.boundary import MARGIN
from benchmark.data.dataset import Benchmark, load
from benchmark.data.further import choose_further
from benchmark.data.schema import IMAGENET, IMAGENET_R, IMAGENET_SKETCH
from benchmark.data.training import training_images
from benchmark.images.decode import suffix_of
from benchmark.images.open import open_images
from benchmark.images.source import Joined
from benchmark.labels.imagenet import synsets

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.models.load import BaseModel

NOTE = "locality.json"
CHOICE = Kind("choice of images", NOTE)
BINS = 50  # of the histograms
FURTHER = ("taken", "far")  # folders of `locality_taken` and `locality_far`
SEED = 0  # of their draw


def choose(predictions: pd.DataFrame, labels: np.ndarray, margin: float) -> np.ndarray:
    """The images that meet both criteria, (n,) bool.

    Args:
        predictions: ``base_label`` and ``base_margin`` as `benchmark.predict.engine` gives them, one row an image.
        labels: the true ImageNet indices, (n,).
        margin: p(top-1) - p(top-2) must be below it.
    """
    return is_right(predictions, labels) & (predictions["base_margin"].to_numpy() < margin)


def is_right(predictions: pd.DataFrame, labels: np.ndarray) -> np.ndarray:
    """The images that the base gets right, (n,) bool; False for an image without a prediction."""
    return predictions["base_label"].to_numpy() == labels


def count_by_source(predictions: pd.DataFrame, pool: Joined, chosen: np.ndarray) -> pd.DataFrame:
    """One row a source: its ``images``, how many were ``skipped``, the base gets ``right``, and are ``chosen``."""
    import pandas as pd

    table = pd.DataFrame(
        {
            "source": pool.names,
            "images": 1,
            "skipped": (predictions["error"] != "").to_numpy(),
            "right": is_right(predictions, pool.known_labels),
            "chosen": chosen,
        }
    )
    return table.groupby("source", sort=False).sum().astype(int)


def write_images(folder: Path, pool: Joined, predictions: pd.DataFrame, chosen: np.ndarray) -> int:
    """Copy the chosen images into `folder` by class, write ``selection.csv``, return their number.

    An image that the sources hold twice is written once. A file is named by the hash of its bytes: names from
    outside could clash, or mean another folder.
    """
    import pandas as pd

    rows: dict[str, dict[str, Any]] = {}
    names = pool.names
    for position in np.flatnonzero(chosen).tolist():
        data, label = pool.read(position), int(pool.known_labels[position])
        digest = hashlib.sha256(data).hexdigest()
        if digest in rows:
            continue
        file = f"{synsets()[label]}/{digest[:24]}{suffix_of(data)}"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
        rows[digest] = {
            "file": file,
            "source": names[position],
            "source_id": pool.own_ids[position],
            "label": label,
            "base_prediction": int(predictions["base_label"].iloc[position]),
            "margin": round(float(predictions["base_margin"].iloc[position]), 8),
            "sha256": digest,
        }
    write_frame(folder / "selection.csv", pd.DataFrame(rows.values()))
    return len(rows)


def draw_margins(path: Path, margins: dict[str, np.ndarray], counts: pd.DataFrame, margin: float, base: str) -> None:
    """Draw histograms of the margins of images that the base gets right, one panel a source, the chosen coloured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1 + 3.6 * len(margins), 3.2), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    edges = np.unique(np.append(np.linspace(0, 1, BINS + 1), margin))  # no bar lies across the margin
    for axes, (source, values) in zip(figure.subplots(1, len(margins), squeeze=False)[0], margins.items(), strict=True):
        heights, _ = np.histogram(values, edges)
        colours = ["#D55E00" if low < margin else "#9aa5b1" for low in edges[:-1]]
        axes.bar(edges[:-1], heights / np.diff(edges), np.diff(edges), align="edge", color=colours)
        axes.set_yticks([])
        axes.set_xlim(0, 1)
        axes.set_xlabel("p(top-1) - p(top-2)")
        row = counts.loc[source]
        axes.set_title(
            f"{source}\n{row['right']:,} of {row['images']:,} right, {row['chosen']:,} below {margin:g}", fontsize=9
        )
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    figure.suptitle(f"Images that {plotted(base)} gets right, by margin", fontsize=10)
    figure.savefig(path)


def draw_further(
    pool: Joined, predictions: pd.DataFrame, benchmark: Benchmark, classes: Iterable[int], chosen: np.ndarray
) -> dict[str, np.ndarray]:
    """The images of ImageNet-1k for ``taken`` and ``far``, (n,) bool each.

    None stands twice, is `chosen` for D_l or is in another split of the data set, an earlier choice left aside.
    """
    seen = {*benchmark.edit.table["sha256"], *benchmark.locality.table["sha256"]}
    if benchmark.train and any((Path(benchmark.train) / "data").glob("train-*.parquet")):
        seen |= {*training_images(benchmark.train).table["sha256"]}
    seen |= {hashlib.sha256(pool.read(row)).hexdigest() for row in np.flatnonzero(chosen).tolist()}

    def is_new(row: int) -> bool:
        digest = hashlib.sha256(pool.read(row)).hexdigest()
        is_first = digest not in seen
        seen.add(digest)
        return is_first

    is_right_here = is_right(predictions, pool.known_labels) & (np.array(pool.names) == IMAGENET)
    rows = choose_further(pool.known_labels, is_right_here, classes, is_new, np.random.default_rng(SEED))
    return {name: np.isin(np.arange(len(pool)), drawn) for name, drawn in zip(FURTHER, rows, strict=True)}


def describe_choice(base: BaseModel, margin: float, counts: pd.DataFrame, sources: dict[str, str]) -> dict[str, Any]:
    """A note on the choice: base, margin, inputs and counts."""
    return {
        "base": base.name,
        "weights_sha256": base.weights_sha256,
        "preprocessing": base.preprocessing.to_dict(),
        "precision": base.precision,
        "device": base.device.type,
        "margin": margin,
        "inputs": {source: Path(name).name for source, name in sources.items()},
        "sources": counts.to_dict("index"),
    }


def main(
    base: options.Base = "vitb16",
    imagenet: options.ImageNet = None,
    imagenet_r: options.ImageNetR = None,
    imagenet_sketch: options.ImageNetSketch = None,
    data: options.OptionalData = None,
    margin: Share = MARGIN,
    batch_size: options.BatchSize = 64,
    device: options.Device = "auto",
    out: options.Out = Path("out/locality"),
) -> None:
    """Choose the images near a base's decision boundary that it gets right, from validation images.

    A source is a folder with one folder a class (named by synset id, ImageNet index or class name), or a data set
    on the Hub (ILSVRC/imagenet-1k, axiong/imagenet-r, nateraw/imagenet-sketch). One source is enough.
    The paper's base is vitb16. OUT is a folder; an earlier choice there is replaced.

    With --data, a benchmark with groups, images of the classes that the base wrongly predicts in them and a random draw
    of what it gets right are chosen, too, from --imagenet (OUT/taken and OUT/far).

    Args:
        margin: Difference p(top-1) - p(top-2) that a chosen image is below.
    """
    from benchmark.core.devices import pick
    from benchmark.core.staging import recover, replacing_folder
    from benchmark.models.load import load_base
    from benchmark.predict.benchmark import filter_benchmark
    from benchmark.predict.engine import predict
    from benchmark.predict.store import predictions_folder

    given = {IMAGENET: imagenet, IMAGENET_R: imagenet_r, IMAGENET_SKETCH: imagenet_sketch}
    sources = {source: name for source, name in given.items() if name is not None}
    if not sources:
        raise UserError("no images to choose from; give --imagenet, --imagenet-r or --imagenet-sketch")
    if data is not None and imagenet is None:
        raise UserError("--data has images of its groups' classes chosen from --imagenet; give that, too")
    recover(out)
    check_replaceable(out, CHOICE, inputs=[cache_folder()])
    benchmark = load(data) if data is not None else None
    pool = Joined({source: open_images(name, labelled=True) for source, name in sources.items()})
    model = load_base(base, device=pick(device))
    print(f"{len(pool):,} images of {len(sources)} sources")

    renamed = dataclasses.replace(model, name="base")
    predictions = predict([renamed], pool, batch_size=batch_size, cache=predictions_folder())
    chosen = choose(predictions, pool.known_labels, margin)
    counts = count_by_source(predictions, pool, chosen)
    if not chosen.any():
        raise UserError(
            f"no image meets both criteria: {base} gets {counts['right'].sum():,} of {len(pool):,} right, none of "
            f"them with a margin below {margin:g}; check the base and how the class folders are named"
        )
    is_correct, source = is_right(predictions, pool.known_labels), np.array(pool.names)
    margins = {name: predictions["base_margin"].to_numpy()[is_correct & (source == name)] for name in sources}
    further = {}
    if benchmark is not None:
        taken_for = filter_benchmark(model, benchmark)[1].tolist()
        further = draw_further(pool, predictions, benchmark, taken_for, chosen)
    note = describe_choice(model, margin, counts, sources)
    with replacing_folder(out) as folder:
        note |= {name: write_images(folder / name, pool, predictions, rows) for name, rows in further.items()}
        count = write_images(folder / "images", pool, predictions, chosen)
        draw_margins(folder / "margins.png", margins, counts, margin, Path(base).name)
        write_frame(folder / "skipped.csv", predictions.loc[predictions["error"] != "", ["image", "error"]])
        write_text(folder / NOTE, json.dumps(note, indent=2) + "\n")
        write_checksums(folder)
    for name, row in counts.iterrows():
        skipped = f"; {row['skipped']:,} skipped, listed in skipped.csv" if row["skipped"] else ""
        print(f"{name}: {row['chosen']:,} chosen of {row['right']:,} right of {row['images']:,}{skipped}")
    for name in further:
        print(f"{out / name}: {note[name]:,} images, for --locality-{name} of benchmark.build")
    print(f"{out}: {count:,} images; next: python -m benchmark.build --locality {out / 'images'} ...")


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
