"""Makes the golden run's outcomes with the project's own commands; ``make golden`` keeps them.

`ft` and `hypernetwork` edit a few samples of the mini, one search mines a few of its images, and one small
benchmark is built from pictures whose bytes no library's release can move. ``tests/test_golden.py`` compares the
outcomes with those committed here, which are made anew only where an issue says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmark import build
from benchmark.core.cli import run
from benchmark.core.files import CACHE
from benchmark.data.dataset import load
from benchmark.data.packaged import MINI
from benchmark.models.load import load_base
from benchmark.models.vit import forward
from editors.core.registry import choose
from leaderboard import submit
from leaderboard.judging.sampling import edit_seed
from mad import search

HERE = Path(__file__).parent
EDITORS = ("ft", "hypernetwork")
LIMIT, SEED = 6, 0
POOL_IMAGES = 64


def run_edits(out: Path) -> None:
    """Run `EDITORS` on `LIMIT` samples of the mini; one folder each, as the command writes them."""
    run(submit.main, [*EDITORS, "--limit", str(LIMIT), "--seed", str(SEED), "--out", str(out)])


def run_search(out: Path, scratch: Path) -> None:
    """Search the first images of the mini's editing samples with the two embedded models."""
    (table,) = (pq.read_table(file) for file in MINI.glob("edit-*.parquet"))
    pq.write_table(table.slice(0, POOL_IMAGES), scratch / "pool.parquet")
    options = {"--pair": "mini,mini-strong", "--pool": scratch / "pool.parquet", "--out": out}
    run(search.main, [str(word) for pair in options.items() for word in pair])


def run_build(out: Path, scratch: Path) -> None:
    """Build a benchmark of twelve natural and six locality images."""
    natural = {f"Natural-Image-Subset/{folder}/{n}.bmp" for folder in ("890_430", "933_923") for n in range(6)}
    locality = {f"Sensitive-Images/{n}.bmp" for n in range(6)}
    words = ["--allow-partial", "--out", str(out)]
    for option, names in (("--natural", natural), ("--locality", locality)):
        archive = scratch / f"{option[2:]}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for name in sorted(names):
                file.writestr(zipfile.ZipInfo(name), picture(name))  # a fixed date: the archive's hash is recorded
        words += [option, str(archive)]
    run(build.main, words)


def picture(name: str) -> bytes:
    """A 2 x 2 BMP, whose bytes depend on `name` alone: no encoder has a part in them."""
    rows = hashlib.sha256(name.encode()).digest()[:16]  # two rows of two BGR pixels and two bytes of padding
    header = b"BM" + (70).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    info = [(40, 4), (2, 4), (2, 4), (1, 2), (24, 2), (0, 4), (16, 4), (2835, 4), (2835, 4), (0, 4), (0, 4)]
    return header + b"".join(value.to_bytes(size, "little") for value, size in info) + rows


def table_of(folder: Path) -> str:
    """All rows of a built data set as JSON lines, in the order of files and rows; images are in hexadecimal."""
    rows = [row for file in sorted((folder / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    return "".join(json.dumps(row, default=bytes.hex) + "\n" for row in rows)


@torch.no_grad()
def compute_margins(predictions: pd.DataFrame) -> list[list[float]]:
    """The top-2 logit margins of every edit's predictions, group first, by plain full forwards in float32."""
    base, benchmark = load_base("mini"), load("mini")
    margins_of_edits = []
    for editor, row in zip(predictions["editor"], predictions.itertuples(), strict=True):
        samples = benchmark.edit.take([row.edit_row])
        images, labels = samples.images(base.preprocessing), torch.as_tensor(samples.labels)
        with torch.enable_grad():
            seed = edit_seed(SEED, samples.table["sha256"].iloc[0])
            maker = choose(editor, "mini").make()
            (edit,) = maker.edit_many(base.module, images[None], labels[None], [seed])
        group = benchmark.edit.take(row.group_rows).images(base.preprocessing)
        images = torch.cat([group, benchmark.locality.images(base.preprocessing)])
        top = torch.cat([forward(base.module, batch, edit.overrides) for batch in images.split(256)]).topk(2).values
        margins_of_edits.append((top[:, 0] - top[:, 1]).tolist())
    return margins_of_edits


def read_outcomes(out: Path) -> pd.DataFrame:
    """One row an edit: editor, sample (by hash), steps, failure, the scoring path, all predictions."""
    rows = []
    for editor in EDITORS:
        (folder,) = out.glob(f"{editor}*")
        samples = pd.read_parquet(folder / "samples.parquet")
        hashes = samples.loc[samples["split"] == "edit", "sha256"].to_numpy()
        groups = samples.loc[samples["split"] == "edit", "group_id"].to_numpy()
        for edit in pd.read_parquet(folder / "outcomes.parquet").itertuples():
            rows.append(
                {
                    "editor": editor,
                    "sha256": hashes[edit.sample],
                    "group_hashes": hashes[groups == edit.group_id].tolist(),
                    "steps": edit.steps,
                    "failure": "" if pd.isna(edit.failure) else edit.failure,
                    "scored": edit.scored,
                    "predictions": [*edit.group_predictions.tolist(), *edit.locality_predictions.tolist()],
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Make everything anew, in this folder."""
    with TemporaryDirectory() as name:
        scratch = Path(name)
        os.environ[CACHE] = str(scratch / "cache")  # nothing of an earlier run
        run_edits(scratch / "edits")
        table = read_outcomes(scratch / "edits")
        row_of = {sha: row for row, sha in enumerate(load("mini").edit.table["sha256"])}
        table["edit_row"] = table["sha256"].map(row_of)
        table["group_rows"] = table["group_hashes"].map(lambda hashes: [row_of[sha] for sha in hashes])
        table["margins"] = compute_margins(table)
        table = table.drop(columns=["edit_row", "group_rows"])
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), HERE / "edits.parquet", compression="zstd")

        run_search(scratch / "mined", scratch)
        shutil.copy(scratch / "mined" / "predictions.parquet", HERE / "search-predictions.parquet")
        for file in ("ranking.csv", "groups.csv", "membership.csv"):
            shutil.copy(scratch / "mined" / file, HERE / f"search-{file}")

        run_build(scratch / "built", scratch)
        (HERE / "build.jsonl").write_text(table_of(scratch / "built"))
        build_notes = json.loads((scratch / "built" / "build.json").read_text())
        (HERE / "build.json").write_text(json.dumps(build_notes, indent=2) + "\n")


if __name__ == "__main__":
    main()
