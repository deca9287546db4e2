"""The making of each of the paper's figures and tables from its sources; each returns what it was made of, in words."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.csvs import write_csv
from benchmark.core.errors import UserError, listed, message_line
from benchmark.core.files import write_text
from benchmark.core.readers import Unreadable, parse_json, read_csv
from editors.core.registry import choose as choose_editor
from editors.training.pretrained import PretrainedEditor
from editors.training.studies import NETWORKS
from leaderboard.analyses import ablation, figures, panels
from leaderboard.analyses.iou import Overlap
from leaderboard.analyses.layers import COMPONENTS, Position
from leaderboard.analyses.paper import NATURAL, NotThere, PaperFigure, Run, Sources, choose, group_table, panel_records
from leaderboard.records.record import Record
from leaderboard.records.sections import Score
from leaderboard.scores import curves, table_files, tables
from leaderboard.scores.curves import Line

NATURAL_GROUPS = 8  # in Fig. I
CURVE = ("iteration", "sparsity", "kl")


def make(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """Make a figure or table in the folder `out`. Raises `NotThere` if what it needs is not there."""
    return MAKERS[figure.drawn_as](figure, sources, out / figure.name)


def _editors(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """GR-LR curves, a line an editor and setting (Figs. 4, 5a, E to G)."""
    runs = usual(choose(figure, sources, lambda record: record.editor.name))
    _draw(figure, {name: curves.lines(of) for name, of in panel_records(figure, sources, runs).items()}, out)
    absent = [name for name in figure.editors if name not in {record.editor.name for _, record in runs}]
    return f"{len(runs)} runs" + (f", none of {listed(absent)}" if absent else "")


def usual(runs: Sequence[Run]) -> list[Run]:
    """The runs without those of an ablation: of each editor with a trained network, those of one recipe.

    It is the recipe of the shipped network, if that was scored, else the one with most runs.
    """
    of_recipe: dict[tuple[str, str | None], list[Run]] = {}
    for run in runs:
        of_recipe.setdefault((run[1].editor.name, run[1].editor.provenance.get("recipe")), []).append(run)
    usual: dict[str, list[Run]] = {}
    for (name, _), alike in of_recipe.items():
        usual[name] = max(usual.get(name, []), alike, key=lambda each: (any(map(_is_shipped, each)), len(each)))
    return [run for alike in usual.values() for run in alike]


def _is_shipped(run: Run) -> bool:
    return run[1].editor.config.get("checkpoint") is None


def _samples(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """GR-LR curves, a line a number of editing samples, GR of the same images for all (Fig. 5b)."""
    runs = usual(choose(figure, sources, lambda record: record.protocol.samples_per_edit, 2, ("samples_per_edit",)))
    most = max(runs, key=lambda run: run[1].protocol.samples_per_edit)
    partners = ablation.partners_of(sources.outcomes(most))
    records = [ablation.on_common_images(run[1], sources.outcomes(run), partners) for run in runs]
    lines = _lines(records, lambda record: record.protocol.samples_per_edit, ablation.samples_label)
    _draw(figure, {"all groups": lines}, out)
    return f"{len(runs)} runs"


def _recipes(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """GR-LR curves, a line a value of one field of the recipe, all other fields equal (Figs. J to N)."""

    def value(record: Record) -> Any:
        content = recipe(record).get(figure.field)
        return content if isinstance(content, (str, int, float)) else None

    def others(record: Record) -> str:
        return json.dumps({**recipe(record), figure.field: None}, sort_keys=True)

    runs = choose(figure, sources, value, 2, same=others)
    of_panels = {
        name: _lines(records, value, lambda content: f"{figure.field} = {content}")
        for name, records in panel_records(figure, sources, runs).items()
    }
    _draw(figure, of_panels, out)
    return f"{len(runs)} runs"


def recipe(record: Record) -> dict[str, Any]:
    """The recipe of the network that a run's editor used; empty if it used none."""
    text = record.editor.provenance.get("recipe")
    return parse_json(text, f"the recipe in the record of {record.editor.spec}") if text else {}


def _lines(records: Sequence[Record], value: Callable[[Record], Any], label: Callable[[Any], str]) -> list[Line]:
    values = sorted({value(record) for record in records}, key=lambda each: (isinstance(each, str), each))
    return [curves.line(label(each), [record for record in records if value(record) == each]) for each in values]


def _draw(figure: PaperFigure, of_panels: Mapping[str, Sequence[Line]], out: Path) -> None:
    """Write the curves of all panels as csv and picture."""
    rows = [{"panel": name, **row} for name, lines in of_panels.items() for row in curves.rows(lines)]
    curves.write_csv(out.with_name(f"{out.name}.csv"), rows)
    record = next(iter(of_panels.values()))[0].runs[0][0]
    panels.gr_lr(of_panels, _title(figure, record, len(of_panels) > 1), out.with_name(f"{out.name}.svg"))


def _title(figure: PaperFigure, record: Record, several: bool = False) -> str:
    conditions = f"{record.base.name}, {record.data.name} ({record.data.version})"
    return f"{figure.heading}\n{conditions if several else tables.shared(record)}"


def _places(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """GR and LR of tuning each three consecutive FFNs or MSAs (Fig. 2b)."""

    def place(record: Record) -> tuple[str, int] | None:
        part, first = record.editor.config.get("part"), record.editor.config.get("first")
        return (part, first) if part in COMPONENTS and isinstance(first, int) else None

    runs = choose(figure, sources, place, without=())
    blocks = choose_editor(figure.editors[0], runs[0][1].base.name).config.BLOCKS
    records = {at: record for _, record in runs if (at := place(record)) is not None}
    positions = [
        Position(part, first + 1, first + blocks, record)
        for (part, first), record in sorted(records.items(), key=lambda item: item[0])
    ]
    curves.write_csv(out.with_name(f"{out.name}.csv"), [position.row() for position in positions])
    figures.layers(positions, _title(figure, runs[0][1]), out.with_name(f"{out.name}.svg"))
    return f"{len(positions)} runs"


def _masks_of_samples(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """IoU of the masks of six samples, two of each of three groups (Fig. 6b)."""
    path, rows = _analysis(figure, sources, "iou-samples.csv", ("editor", "sample", "other", "iou"))
    names, matrix = _matrix(path, rows, "sample")
    write_csv(out.with_name(f"{out.name}.csv"), list(rows[0]), ([*row.values()] for row in rows))
    panels.masks(names, matrix, figure.heading, out.with_name(f"{out.name}.svg"))
    return str(path)


def _masks_of_groups(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """Mean IoU of masks within and across the first eight natural groups (Fig. I)."""
    path, rows = _analysis(figure, sources, "iou.csv", ("editor", "group", "subset", "other", "iou"))
    natural = list(dict.fromkeys(row["group"] for row in rows if row["subset"] in NATURAL))[:NATURAL_GROUPS]
    rows = [row for row in rows if row["group"] in natural and row["other"] in natural]
    if not rows:
        raise NotThere(f"{path} has no natural group")
    names, matrix = _matrix(path, rows, "group")
    diagonal = np.eye(len(names), dtype=bool)
    means = {
        "within": Score(value=_mean(matrix[diagonal])),
        "across": Score(value=_mean(matrix[~diagonal])),
        "difference": Score(value=None),
    }
    write_csv(out.with_name(f"{out.name}.csv"), list(rows[0]), ([*row.values()] for row in rows))
    overlap = Overlap(rows[0]["editor"], names, matrix, means)
    figures.overlaps([overlap], figure.heading, out.with_name(f"{out.name}.svg"))
    return str(path)


def _analysis(
    figure: PaperFigure, sources: Sources, name: str, columns: Sequence[str]
) -> tuple[Path, list[dict[str, str]]]:
    """The newest table of an analysis that has rows of one of the figure's editors, and the first editor's rows."""
    for path in sources.files(name):
        rows = list(read_csv(path, columns, f"make it again: {figure.needs}"))
        editors = [row["editor"] for row in rows if row["editor"].split()[0:1] == [*figure.editors]]
        if editors:
            return path, [row for row in rows if row["editor"] == editors[0]]
    raise NotThere(f"there is no {name}")


def _matrix(path: Path, rows: Sequence[Mapping[str, str]], column: str) -> tuple[list[str], np.ndarray]:
    """The names in a column, and the shares (n, n) that the rows have for each two; NaN where they have none."""
    names = list(dict.fromkeys(row[column] for row in rows))
    matrix = np.full((len(names), len(names)), np.nan)
    try:
        for row in rows:
            matrix[names.index(row[column]), names.index(row["other"])] = float(row["iou"] or "nan")
    except ValueError as error:
        raise Unreadable(path, f"holds {message_line(error)}") from error
    return names, matrix


def _mean(shares: np.ndarray) -> float | None:
    known = shares[np.isfinite(shares)]
    return float(known.mean()) if known.size else None


def _training(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """Sparsity of the masks and KL over a training (Fig. H)."""
    path, curve = training_curve(figure, sources)
    write_csv(out.with_name(f"{out.name}.csv"), CURVE, zip(*curve.values(), strict=True))
    panels.training(curve, f"{figure.heading}: {path.stem}", out.with_name(f"{out.name}.svg"))
    return str(path)


def training_curve(figure: PaperFigure, sources: Sources) -> tuple[Path, dict[str, list[float]]]:
    """The file and the columns of the newest training curve beside a checkpoint, or of a shipped one.

    Networks of ablations are none of these.
    Raises `NotThere` if there is none.
    """
    curves_there = (path for path in sources.files(".csv") if path.parent.name != NETWORKS)
    beside = [path for path in curves_there if path.with_suffix(".safetensors").is_file()]
    for path in [*beside, *_shipped(figure, sources)]:
        try:
            rows = list(read_csv(path, CURVE))
        except Unreadable:  # the curves of another editor's training
            continue
        try:
            return path, {name: [float(row[name]) for row in rows] for name in CURVE}
        except ValueError as error:
            raise Unreadable(path, f"holds {message_line(error)}") from error
    raise NotThere("there are no training curves beside a checkpoint")


def _shipped(figure: PaperFigure, sources: Sources) -> list[Path]:
    """The curves of the networks that come with the project for the base, where they are there."""
    curves_of: list[Path] = []
    base = sources.of_base(figure.base)[0][1].base
    for name in figure.editors:
        editor_class = choose_editor(name, base.name).editor_class
        assert issubclass(editor_class, PretrainedEditor)
        with contextlib.suppress(UserError):  # none for this base
            curves_of.append(editor_class.store.shipped_for(base.weights_sha256).with_suffix(".csv"))
    return [path for path in curves_of if path.is_file()]


def _natural_counts(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """The number of images of each mined group (Table A)."""
    return _counts(figure, sources, out, natural=True, columns=("images",))


def _generated_counts(figure: PaperFigure, sources: Sources, out: Path) -> str:
    """The number of classes and images of each generated group (Table B)."""
    return _counts(figure, sources, out, natural=False, columns=("classes", "images"))


def _counts(figure: PaperFigure, sources: Sources, out: Path, natural: bool, columns: Sequence[str]) -> str:
    run = sources.of_base(figure.base)[0]
    table = group_table(sources.outcomes(run))
    table = table[table["natural"] == natural]
    header = ["id", "group", *columns]
    rows = [[row.Index, row.group, *(getattr(row, name) for name in columns)] for row in table.itertuples()]
    if not rows:
        raise NotThere("the run has no such group")
    write_csv(out.with_name(f"{out.name}.csv"), header, rows)
    data = run[1].data
    caption = f"{figure.title}: {data.name} ({data.version}), images that {run[1].base.name} gets wrong."
    text = table_files.latex_table(header, [list(map(str, row)) for row in rows], caption, n_text=2)
    write_text(out.with_name(f"{out.name}.tex"), f"{table_files.PACKAGES}\n{text}")
    return str(run[0].parent)


MAKERS: dict[str, Callable[[PaperFigure, Sources, Path], str]] = {
    "editors": _editors,
    "samples": _samples,
    "recipes": _recipes,
    "places": _places,
    "masks of samples": _masks_of_samples,
    "masks of groups": _masks_of_groups,
    "training": _training,
    "natural counts": _natural_counts,
    "generated counts": _generated_counts,
}
