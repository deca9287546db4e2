"""Values for the template of each kind of page: numbers as cells, pictures as tiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmark.core.text import printable
from benchmark.labels.columns import UNKNOWN
from benchmark.labels.imagenet import names
from leaderboard.board import answers
from leaderboard.board.entries import Entry, Table, describe_editor
from leaderboard.board.pictures import Pictures
from leaderboard.board.sets import ImageSet
from leaderboard.records.record import Record
from leaderboard.records.sections import Score
from leaderboard.scores.ranking import LEAST_SUCCESS, Ranked
from leaderboard.scores.tables import LEAST_TELLING, cell, columns, details, edits_of, failure_lines, heading

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """A number as it is shown, and the value by which a table sorts; -1, below all, where there is none."""

    text: str
    order: float


@dataclass(frozen=True)
class Tile:
    """A picture with what a model answered before and after an edit.

    picture: its path below the site; None where there is none to show.
    place: its place on a page of a set.
    label: the right answer.
    before: the base's answer.
    after: the commonest answer of the edited models.
    is_right: whether that is the label.
    note: a few words.
    credit: whom to credit, and the licence.
    """

    picture: str | None
    place: str
    label: str
    before: str
    after: str
    is_right: bool
    note: str
    credit: str


def title(table: Table) -> str:
    """The table's base, data and samples in a few words."""
    record = table.record
    drawn = "" if record.protocol.limit is None else f", {record.protocol.limit:,} drawn"
    return f"{record.base.name} on {record.data.name} {record.data.version}{drawn}"


def overview(table: Table) -> dict[str, Any]:
    """The front page: one row a run, those that stay off the main table apart, where others are on it."""
    records = [entry.record for entry in table.entries]
    score_columns = _in_order(columns(records))
    rows = []
    for entry in table.entries:
        cells = [_score_cell(entry.record.scores.get(name)) for name, _ in score_columns]
        rows.append((entry, cells, _milliseconds(entry.record), count_checks(entry.record)))
    is_main = any(not entry.reason for entry in table.entries)
    return {
        "title": title(table),
        "heading": heading(table.record),
        "details": details(table.record),
        "columns": score_columns,
        "rows": [row for row in rows if not row[0].reason or not is_main],
        "off": [row for row in rows if row[0].reason and is_main],
        "why_none": ""
        if is_main
        else "; ".join(dict.fromkeys(part for entry in table.entries for part in entry.reason.split("; "))),
        "least_success": f"{100 * LEAST_SUCCESS:g}",
        "devices": sorted({record.environment.device_name for record in records}),
        "ranking": [_ranking_row(ranked, table) for ranked in table.ranking],
        "n_editors": len({record.editor.name for record in records}),
    }


def _ranking_row(ranked: Ranked, table: Table) -> tuple[str, str, str, Cell, str, str]:
    """An editor's place: its name, its best setting's page, rank, area, its interval, and the settings that count."""
    entry_of = {entry.record.key: entry for entry in table.entries}
    settings = [entry_of[record.key] for run in ranked.line.runs for record in run]
    best = max(settings, key=lambda entry: math.prod(entry.record.scores[name].value or 0 for name in ("gr", "lr")))
    first, last = ranked.ranks or (0, 0)
    place = NOTHING if ranked.ranks is None else str(first) if first == last else f"{first} to {last}"
    area, _, interval = cell(ranked.area, interval=True).partition(" ")
    counted = f"{ranked.counted} of {len(settings)}"
    return ranked.line.label, best.page, place, replace(_score_cell(ranked.area), text=area), interval, counted


def editor(table: Table, entry: Entry, sets: Sequence[ImageSet], pictures: Pictures) -> dict[str, Any]:
    """The page of one run."""
    record, images = entry.record, entry.answers.images
    picks = answers.pick(table.samples, images)
    return {
        "entry": entry,
        "about": describe_editor(record),
        "scores": [(text, cell(record.scores.get(name), interval=True)) for name, text in columns([record])],
        "run": _describe_run(record),
        "card": entry.card.model_dump(exclude={"schema_version"}) if entry.card else {},
        "checks": record.checks or (),
        "settings": [other for other in table.entries if other.record.editor.name == record.editor.name],
        "by_group": [row for each in sets if (row := _group_row(entry, each)) is not None],
        "picks": {
            name: list(_tiles(table, entry, sets, rows, name == "Fixed", pictures)) for name, rows in picks.items()
        },
        "config": record.editor.config,
        "failures": failure_lines([record]),
        "cell": cell,
    }


def group(table: Table, images: ImageSet, shown: Sequence[int], pictures: Pictures) -> dict[str, Any]:
    """The page of one set of images: all editors on it, and its pictures with how many edits got each right."""
    scored = [(entry, numbers) for entry in table.entries if (numbers := _group_row(entry, images)) is not None]
    counts = [entry.answers.images.loc[list(shown), ["edits", "right"]].to_numpy() for entry in table.entries]
    tiles = []
    for row, (edits, right) in zip(shown, np.sum(counts, axis=0), strict=True):
        note = f"right after {100 * right / edits:.0f} %" if edits else "never judged"
        tiles.append(_tile(table, row, "", images.page, note, pictures))
    return {"images": images, "rows": [(entry, *numbers[1:]) for entry, numbers in scored], "tiles": tiles}


def side(table: Table, entry: Entry) -> dict[str, Any]:
    """A run's answers for the page that puts two side by side: lists by image, and its scores as text."""
    images = entry.answers.images
    score_columns = _in_order(columns([entry.record]))
    return {
        "title": printable(entry.title),
        "scores": [[text, cell(entry.record.scores.get(name), interval=True)] for name, text in score_columns],
        **{name: [int(value) for value in images[name]] for name in ("edits", "right", "wrong")},
    }


def _group_row(entry: Entry, images: ImageSet) -> tuple[ImageSet, Cell, Cell, Cell] | None:
    """The number of edits, SR and GR (or the share that stays right) of a run on one set; None if it was not judged."""
    if images.group_id is None:
        score = entry.record.scores.get(images.score)
        return None if score is None else (images, Cell("", -1), Cell("", -1), _score_cell(score))
    groups = entry.answers.groups
    row = groups[groups["group_id"] == images.group_id]
    if not len(row):
        return None
    edits = int(row["edits"].iloc[0])
    sr, gr = (_score_cell(Score(value=float(row[name].iloc[0]))) for name in ("sr", "gr"))
    return images, Cell(f"{edits:,}", edits), sr, gr


def _score_cell(score: Score | None) -> Cell:
    known = score is not None and score.value is not None
    return Cell(cell(score), round(100 * (score.value or 0), 4) if known and score else -1)


def _in_order(score_columns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The scores that a table shows: GR and what it is traded for first, the least telling left out."""
    shown = [(name, text) for name, text in score_columns if name not in LEAST_TELLING]
    return sorted(shown, key=lambda column: (column[0] != "gr", not column[0].startswith("lr"), column[0] != "sr"))


def count_checks(record: Record) -> Cell:
    """The checks that a run's editor passed, of how many; a dash for a record from before."""
    if record.checks is None:
        return Cell(NOTHING, -1)
    passed = sum(check.passed is True for check in record.checks)
    return Cell(f"{passed} of {len(record.checks)}", passed)


def _milliseconds(record: Record) -> Cell:
    milliseconds = 1000 * record.costs.median_edit_seconds
    return Cell(f"{milliseconds:,.1f}", milliseconds)


def _describe_run(record: Record) -> list[tuple[str, str]]:
    """Names and values of what made the scores: samples, cost, noise floor, where and by which commit."""
    costs, noise, environment = record.costs, record.noise_floor, record.environment
    changes = ", with changes" if environment.dirty else ""
    commit = f"{environment.commit[:12]}{changes}" if environment.commit else "none"
    memory = NOTHING if costs.peak_memory_mb is None else f"{costs.peak_memory_mb:,.0f} MiB"
    learned = [f"{name}: {value}" for name, value in record.editor.provenance.items()]
    return [
        ("Edits", edits_of(record)),
        ("Failed", f"{record.outcomes.failed:,} of {record.outcomes.edits:,}"),
        ("An edit", f"{costs.median_edit_seconds:.3g} s, {record.outcomes.median_steps:g} steps (medians)"),
        ("Judging it", f"{costs.median_score_seconds:.3g} s (median)"),
        ("Learning before", f"{costs.fit_seconds:,.3g} s" if costs.fit_seconds else "none"),
        *([("Learned from", "; ".join(learned))] if learned else []),
        ("Peak memory", memory),
        ("Noise floor", f"{noise.flips:,} of {noise.images:,} predictions change without an edit"),
        ("Judged by the editor", f"{record.outcomes.judged_by_editor or 0:,} edits"),
        ("Device", environment.device_name),
        ("Commit", commit),
        ("Made", record.created[:16].replace("T", " ") + " UTC"),
        ("Key", record.key),
    ]


def _tiles(
    table: Table, entry: Entry, sets: Sequence[ImageSet], rows: Sequence[int], is_right: bool, pictures: Pictures
) -> Iterable[Tile]:
    """Tiles of images with the right answer, or with the commonest wrong one, and the number of edits that gave any."""
    images = entry.answers.images
    page_of = {row: each.page for each in sets for row in each.rows}
    for row in rows:
        edits, right, wrong = (int(images[name][row]) for name in ("edits", "right", "wrong"))
        after = _name(int(table.samples["label"][row]) if is_right else wrong)
        note = f"{'right' if is_right else 'wrong'} after {right if is_right else edits - right:,} of {edits:,} edits"
        yield _tile(table, row, after, page_of[row], note, pictures, is_right)


def _tile(table: Table, row: int, after: str, page: str, note: str, pictures: Pictures, is_right: bool = False) -> Tile:
    sample = table.samples.loc[row]
    return Tile(
        pictures.ask(sample["sha256"]),
        f"{page}.html#i{row}",
        _name(int(sample["label"])),
        _name(int(sample["base"])),
        after,
        is_right,
        note,
        pictures.credit(sample["sha256"]),
    )


def _name(index: int) -> str:
    return "no answer" if index == UNKNOWN else names()[index]
