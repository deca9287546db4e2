"""Show what is in a benchmark: the table of its groups, and a contact sheet a group.

python -m benchmark.inspect mini
python -m benchmark.inspect where2edit/vit-edit-bench
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import tyro

from benchmark.core import options
from benchmark.core.files import replacing
from benchmark.core.terminal import console
from benchmark.core.text import printable
from benchmark.data.dataset import Benchmark, LabelledImages, load
from benchmark.data.groups import PAPER_LOCALITY
from benchmark.data.packaged import EMBEDDED
from benchmark.data.scored import FAR, LOCALITY, TAKEN
from benchmark.images.decode import BrokenImage, decode
from benchmark.images.sheets import FAINT, Cell, Line, contact_sheet, thumbnail
from benchmark.labels.columns import UNKNOWN
from benchmark.labels.imagenet import names
from benchmark.subsets.subset import paper_groups

SHOWN = 60  # images of a sheet, spread evenly over the group's rows
NAMES = {LOCALITY: "near the boundary", TAKEN: "of classes that edits take from", FAR: "drawn at random"}
COUNTS = ("images", "expected", "labelled")


def list_groups(benchmark: Benchmark) -> list[tuple[str, str, str, LabelledImages]]:
    """(id, name, subset, samples) of each group in order, then of the splits without groups; texts are printable."""
    groups = []
    for group_id in benchmark.groups:
        samples = benchmark.edit.take(benchmark.members(group_id))
        first = samples.table.iloc[0]
        groups.append((printable(group_id), printable(str(first["group"])), printable(str(first["subset"])), samples))
    further = [(split, NAMES[split], split, images) for split, images in benchmark.splits.items() if split in NAMES]
    return [*groups, *further]


def count_groups(benchmark: Benchmark) -> pd.DataFrame:
    """One row a group, then one a split without groups, of strings and counts that are null where they do not apply.

    Columns: ``id``, ``name``, ``subset``, ``images``, ``expected`` (the paper's count; the mini's groups are its own)
    and ``labelled`` (how many images have a label). A paper group that is missing from data which has another one
    stands there with no images.
    """
    groups = list_groups(benchmark)
    paper = {} if benchmark.name in EMBEDDED else {(group.id, group.subset): group for group in paper_groups()}
    missing = paper.keys() - {(identity, subset) for identity, _, subset, _ in groups}
    is_papers = len(missing) < len(paper)
    rows: list[dict[str, object]] = []
    for identity, name, subset, samples in groups:
        if identity == LOCALITY and is_papers:
            rows += [
                {"id": group.id, "name": group.name, "subset": group.subset, "images": 0, "expected": group.count}
                for group in paper_groups()
                if (group.id, group.subset) in missing
            ]
        row: dict[str, object] = {"id": identity, "name": name, "subset": subset, "images": len(samples)}
        if identity == LOCALITY:
            row["expected"] = PAPER_LOCALITY if is_papers else None
        elif (identity, subset) in paper:
            row["expected"] = paper[identity, subset].count
        rows.append({**row, "labelled": int((samples.labels != UNKNOWN).sum())})
    table = pd.DataFrame(rows, columns=["id", "name", "subset", *COUNTS]).fillna({"labelled": 0})
    return table.astype({"images": int, "labelled": int, "expected": "Int64"})


def count_sources(benchmark: Benchmark) -> pd.DataFrame:
    """Count the images by source (rows, the most frequent first) and subset (columns)."""
    groups = list_groups(benchmark)
    tables = [samples.table.reindex(columns=["source"]).assign(subset=subset) for _, _, subset, samples in groups]
    rows = pd.concat(tables)
    table = pd.crosstab(rows["source"].fillna("unknown").map(lambda source: printable(str(source))), rows["subset"])
    return table[list(dict.fromkeys(rows["subset"]))].loc[table.sum(axis=1).sort_values(ascending=False).index]


def make_cells(samples: LabelledImages, limit: int = SHOWN) -> list[Cell]:
    """Make thumbnails of at most `limit` images, with label, source id and source, spread evenly over the rows.

    A picture that does not decode leaves an empty frame.
    """
    rows = np.unique(np.linspace(0, len(samples) - 1, min(limit, len(samples))).round().astype(int))
    labels = samples.labels
    table = samples.table.reindex(columns=["source", "source_id", "sha256"]).astype(object)
    cells = []
    for row in rows.tolist():
        picture = None
        with contextlib.suppress(BrokenImage):
            picture = thumbnail(decode(samples.image_bytes(row)))
        source, source_id, digest = ("" if pd.isna(value) else printable(str(value)) for value in table.iloc[row])
        label = "label unknown" if labels[row] == UNKNOWN else f"{names()[labels[row]]} ({labels[row]})"
        lines = (Line(label), Line(source_id or f"sha256 {digest}", FAINT))
        cells.append(Cell(picture, lines, source))
    return cells


def write_sheets(benchmark: Benchmark, out: Path) -> list[Path]:
    """Write a contact sheet a group, and one a split without groups, into `out`; their paths, in the groups' order."""
    paths = []
    for number, (identity, name, _, samples) in enumerate(list_groups(benchmark), start=1):
        cells = make_cells(samples)
        title = "locality images" if identity == LOCALITY else f"{name} ({identity})"
        about = f"{len(cells):,} of {len(samples):,} images, {benchmark.name} {benchmark.version}"
        path = out / f"{number:02d}-{_file_name(identity)}.png"
        with replacing(path) as temporary:
            contact_sheet(cells, title, ((about, FAINT),)).save(temporary)
        paths.append(path)
    return paths


def _file_name(text: str) -> str:
    """`text` in characters that every file system takes."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)[:60]


def show(benchmark: Benchmark) -> None:
    """Print both tables, groups that miss the paper's count in red; text from outside is printed as it is."""
    from rich import box
    from rich.table import Table

    screen, groups, title = console(), count_groups(benchmark), f"{benchmark.name} {benchmark.version}"
    shown = Table(box=box.SIMPLE_HEAD, title=title, title_style="bold", title_justify="left", padding=(0, 1, 0, 0))
    for column in groups.columns:
        shown.add_column(column, justify="right" if column in COUNTS else "left", overflow="fold")
    for row in groups.to_dict("records"):
        is_off = not pd.isna(row["expected"]) and row["expected"] != row["images"]
        texts = ["-" if pd.isna(value) else value if isinstance(value, str) else f"{value:,}" for value in row.values()]
        shown.add_row(*texts, style="red" if is_off else None)
    screen.print(shown)
    sources = count_sources(benchmark)
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("source", overflow="fold")
    for column in sources.columns:
        shown.add_column(column, justify="right")
    for source, counts in sources.iterrows():
        shown.add_row(str(source), *(f"{count:,}" if count else "" for count in counts))
    screen.print(shown)
    edit = groups[~groups["id"].isin(NAMES)]
    screen.print(
        f"{(edit['images'] > 0).sum()} groups, {edit['images'].sum():,} editing samples, "
        f"{len(benchmark.locality):,} locality images"
    )


def main(data: Annotated[options.Data, tyro.conf.Positional] = "mini", out: options.Out = Path("out/inspect")) -> None:
    """Print the groups of a benchmark and write a contact sheet of each, so that a person sees what is in it.

    OUT gets a folder with the benchmark's name, and the contact sheets in it.
    """
    benchmark = load(data)
    show(benchmark)
    folder = out / (_file_name(benchmark.name) or "data")
    paths = write_sheets(benchmark, folder)
    print(f"{len(paths)} contact sheets: {folder}")


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
