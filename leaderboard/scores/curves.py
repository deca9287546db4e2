"""GR-LR curves: one line an editor over its knob, from records alone (paper, Figs. 4, 5 and J-N)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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
    def points(self) -> list[Point]:
        """Means over the runs, in order of the knob."""
        by_value: dict[float | None, list[Record]] = {}
        for record in (record for run in self.runs for record in run):
            by_value.setdefault(knob_value(record), []).append(record)
        return [
            Point(value, len(records), {name: _mean([shown(record)[name] for record in records]) for name in SHOWN})
            for value, records in sorted(by_value.items(), key=lambda item: place(item[0]))
        ]


def shown(record: Record) -> dict[str, Score]:
    """SR, GR and LR."""
    return {name: record.scores[name] for name in SHOWN}


def knob_value(record: Record) -> float | None:
    """The knob's value in this run; without a knob, the interpolation factor, or None if that is 1."""
    if record.editor.knob:
        value: float = record.editor.config[record.editor.knob]
        return value
    return None if record.editor.interpolate == 1 else record.editor.interpolate


def line(label: str, records: Iterable[Record]) -> Line:
    """One line from the runs of one editor; those with the same seed and learned state are one repetition."""
    runs: dict[Any, list[Record]] = {}
    for record in sorted(records, key=lambda record: place(knob_value(record))):
        runs.setdefault((record.protocol.seed, record.editor.state_sha256), []).append(record)
    first = next(iter(runs.values()))[0].editor
    knob = first.knob or (INTERPOLATE if first.interpolate != 1 else None)
    return Line(label, knob, tuple(tuple(run) for run in runs.values()))


def lines(records: Sequence[Record]) -> list[Line]:
    """A line for each editor and setting; seeds, and what files an editor learned from, are pooled.

    Raises `UserError` for records that cannot be compared.
    """
    if not records:
        raise UserError("no record.json there; python -m leaderboard.submit makes one")
    check_comparable(records, repeated=True)
    by_setting: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        setting = record.editor.name, json.dumps(_settings(record), sort_keys=True)
        by_setting.setdefault(setting, []).append(record)
    names = [name for name, _ in by_setting]
    return [
        line(name if names.count(name) == 1 else f"{name} {_differing(settings, name, by_setting)}", repetitions)
        for (name, settings), repetitions in by_setting.items()
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


def _settings(record: Record) -> dict[str, Any]:
    """The settings that make two runs different lines: all that are set, but for the knob and for files."""
    return {
        name: value
        for name, value in {**record.editor.config, **_interpolated(record)}.items()
        if name != record.editor.knob and value is not None and not (isinstance(value, str) and Path(value).suffix)
    }


def _interpolated(record: Record) -> dict[str, float]:
    """The factor of interpolation, where that is no point on a curve but another curve of an editor with a knob."""
    return {INTERPOLATE: record.editor.interpolate} if record.editor.knob and record.editor.interpolate != 1 else {}


def place(value: float | None) -> float:
    """A point's place on its line: the edit as it is lies behind all that lies between it and the base."""
    return 1.0 if value is None else value


def _differing(settings: str, name: str, lines: Iterable[tuple[str, str]]) -> str:
    """The settings in which a line differs from the others of its editor, in words."""
    own = json.loads(settings)
    others = [json.loads(other) for editor, other in lines if editor == name]
    differing = {key: value for key, value in own.items() if any(other.get(key) != value for other in others)}
    return ", ".join(f"{key}={value}" for key, value in differing.items())
