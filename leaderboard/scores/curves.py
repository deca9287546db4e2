"""GR-LR curves: one line an editor over its knob, from records alone (paper, Figs. 4, 5 and J-N)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from benchmark.core.csvs import write_frame
from benchmark.core.errors import UserError
from editors.core.registry import INTERPOLATE
from leaderboard.records.record import Record
from leaderboard.records.runs import check_comparable
from leaderboard.records.sections import Score

SHOWN = ("sr", "gr", "lr")


@dataclass(frozen=True)
class Point:
    """One setting: its knob's value (None for an editor without), and SR, GR and LR as means over `runs` runs.

    The ends of an interval are the means of the runs' ends: they show the uncertainty from the images, and the
    spread between the runs that from the seed.
    """

    value: float | None
    runs: int
    scores: dict[str, Score]


@dataclass(frozen=True)
class Line:
    """One editor over its knob. `runs` are its repetitions (seeds, trained states), each in order of the knob."""

    label: str
    knob: str | None
    runs: tuple[tuple[Record, ...], ...]

    @property
    def description(self) -> str:
        """The label, what moves along the line, and how often it was run."""
        values = [point.value for point in self.points if point.value is not None]
        if len(values) > 1:
            moves = f": {self.knob} {min(values):g} to {max(values):g}"
        else:
            moves = f": {self.knob} {values[0]:g}" if values else ""
        return f"{self.label}{moves}" + (f" ({len(self.runs)} runs)" if len(self.runs) > 1 else "")

    @property
    def points(self) -> list[Point]:
        """Means over the runs, in order of the knob."""
        by_value: dict[float | None, list[Record]] = {}
        for record in (record for run in self.runs for record in run):
            by_value.setdefault(knob_value(record, self.knob), []).append(record)
        return [
            Point(value, len(records), {name: _mean([shown(record)[name] for record in records]) for name in SHOWN})
            for value, records in sorted(by_value.items(), key=lambda item: item[0] or 0)
        ]


def shown(record: Record) -> dict[str, Score]:
    """SR, GR and LR."""
    return {name: record.scores[name] for name in SHOWN}


def knob_value(record: Record, knob: str | None) -> float | None:
    """The place of this run on a line over `knob`, which may be the factor of interpolation; None without one."""
    value: float | None = {**record.editor.config, INTERPOLATE: record.editor.interpolate}.get(knob or "")
    return value


def line(label: str, records: Sequence[Record]) -> Line:
    """One line from the runs of one editor; those with the same seed and learned state are one repetition."""
    knob = _moving(records)
    runs: dict[Any, list[Record]] = {}
    for record in sorted(records, key=lambda record: knob_value(record, knob) or 0):
        runs.setdefault((record.protocol.seed, record.editor.state_sha256), []).append(record)
    return Line(label, knob, tuple(tuple(run) for run in runs.values()))


def lines(records: Sequence[Record], pooled: bool = True) -> list[Line]:
    """A line for each editor and setting; seeds, code, and what files an editor learned from, are `pooled` or not.

    Raises `UserError` for records that cannot be compared.
    """
    if not records:
        raise UserError("no record.json there; python -m leaderboard.submit makes one")
    check_comparable(records, repeated=True)
    by_setting: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        fixed = _settings(record, {record.editor.knob, INTERPOLATE}, pooled)
        by_setting.setdefault((record.editor.name, json.dumps(fixed, sort_keys=True)), []).append(record)
    drawn = [runs for same in by_setting.values() for runs in _split(same)]
    settings = [(runs[0].editor.name, _settings(runs[0], {_moving(runs)}, pooled)) for runs in drawn]
    names = [name for name, _ in settings]
    return [
        line(name if names.count(name) == 1 else f"{name} {_differing(own, name, settings)}".strip(), runs)
        for (name, own), runs in zip(settings, drawn, strict=True)
    ]


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Rows as csv, atomically."""
    write_frame(path, pd.DataFrame(list(rows)), float_format="%.6g")


def columns(scores: dict[str, Score]) -> dict[str, float | None]:
    """Scores as columns: ``gr``, ``gr_low``, ``gr_high`` and so on, as shares and not in per cent."""
    return {
        f"{name}{end}": value
        for name, score in scores.items()
        for end, value in (("", score.value), ("_low", score.low), ("_high", score.high))
    }


def rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """One row a point."""
    return [
        {"line": line.label, "knob": line.knob, "value": point.value, "runs": point.runs, **columns(point.scores)}
        for line in lines
        for point in line.points
    ]


def _mean(scores: Sequence[Score]) -> Score:
    ends = {
        end: [value for score in scores if (value := getattr(score, end)) is not None]
        for end in ("value", "low", "high")
    }
    return Score(**{end: mean(values) if values else None for end, values in ends.items()})


def _split(records: Sequence[Record]) -> list[list[Record]]:
    """The lines among runs that differ in knob and interpolation alone.

    One over the knob at each factor of interpolation, as far as the knob moved there; the others over the factor.
    """
    by_factor: dict[float, list[Record]] = {}
    for record in records:
        by_factor.setdefault(record.editor.interpolate, []).append(record)
    over_knob: list[list[Record]] = []
    rest: list[list[Record]] = []
    for runs in by_factor.values():
        moved = len({knob_value(record, record.editor.knob) for record in runs}) > 1
        (over_knob if moved else rest).append(runs)
    over_factor: dict[float | None, list[Record]] = {}
    for record in (record for runs in rest for record in runs):
        over_factor.setdefault(knob_value(record, record.editor.knob), []).append(record)
    return [*over_knob, *over_factor.values()]


def _moving(records: Sequence[Record]) -> str | None:
    """The setting that moves along a line of these runs: their knob, or the factor of interpolation."""
    knob, factors = records[0].editor.knob, {record.editor.interpolate for record in records}
    return INTERPOLATE if len(factors) > 1 or (knob is None and factors != {1.0}) else knob


def _settings(record: Record, without: Collection[str | None], pooled: bool) -> dict[str, Any]:
    """The settings that make two runs different lines: all that are set, but for `without`.

    What repetitions differ in counts unless it is `pooled`: files, the code, the seed, and the place of the editor.
    """
    editor = record.editor
    settings = {**editor.config, **({} if editor.interpolate == 1 else {INTERPOLATE: editor.interpolate})}
    files = {name for name, value in settings.items() if isinstance(value, str) and Path(value).suffix}
    if not pooled:
        hashes = editor.files or {}
        settings |= {name: f"{settings[name]} {hashes.get(settings[name], '')[:8]}".strip() for name in files}
        settings |= {"code": editor.source_sha256[:8], "seed": record.protocol.seed}
        settings |= {"in process": True} if record.protocol.in_process else {}
        files = set()
    return {name: value for name, value in settings.items() if name not in {*without, *files} and value is not None}


def _differing(own: dict[str, Any], name: str, lines: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """The settings in which a line differs from the others of its editor, in words."""
    others = [other for editor, other in lines if editor == name]
    differing = {key: value for key, value in own.items() if any(other.get(key) != value for other in others)}
    return ", ".join(f"{key}={value}" for key, value in differing.items())
