"""GR-LR curves: one line an editor over its knob, from records alone (paper, Figs. 4, 5 and J-N)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from benchmark.core.errors import UserError
from benchmark.core.files import replacing
from editors.core.registry import INTERPOLATE
from leaderboard.records.record import Record, Score

SHOWN = ("sr", "gr", "lr")


@dataclass(frozen=True)
class Point:
    """One setting: its knob's value (None for an editor without), and SR, GR and LR as means over `runs` runs.

    The ends of an interval are the means of the runs' ends: they say how far the images may mislead, and the
    spread between the runs, seen beside them, how far a seed may.
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
            Point(value, len(some), {name: _mean([shown(one)[name] for one in some]) for name in SHOWN})
            for value, some in sorted(by_value.items(), key=lambda item: place(item[0]))
        ]


def shown(record: Record) -> dict[str, Score]:
    """SR, GR and LR."""
    return {name: record.scores[name] for name in SHOWN}


def knob_value(record: Record) -> float | None:
    """Where this run's editor had its knob; of one without, how far it was interpolated, None if nothing was."""
    if record.editor.knob:
        return record.editor.config[record.editor.knob]
    return None if record.editor.interpolate == 1 else record.editor.interpolate


def line(label: str, records: Iterable[Record]) -> Line:
    """One line from the runs of one editor; those with the same seed and learned state are one repetition."""
    runs: dict[Any, list[Record]] = {}
    for one in sorted(records, key=lambda record: place(knob_value(record))):
        runs.setdefault((one.protocol.seed, one.editor.state_sha256), []).append(one)
    first = next(iter(runs.values()))[0].editor
    knob = first.knob or (INTERPOLATE if first.interpolate != 1 else None)
    return Line(label, knob, tuple(tuple(run) for run in runs.values()))


def lines(records: Sequence[Record]) -> list[Line]:
    """A line for each editor and setting; seeds, and what files an editor learned from, are pooled.

    Raises `UserError` for records that cannot be compared.
    """
    if not records:
        raise UserError("no record.json there; python -m leaderboard.submit makes one")
    _check_comparable(records)
    found: dict[tuple[str, str], list[Record]] = {}
    for one in records:
        found.setdefault((one.editor.name, json.dumps(_settings(one), sort_keys=True)), []).append(one)
    names = [name for name, _ in found]
    return [
        line(name if names.count(name) == 1 else f"{name} {_differing(settings, name, found)}", some)
        for (name, settings), some in found.items()
    ]


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Rows as csv, atomically."""
    with replacing(path) as temporary:
        pd.DataFrame(list(rows)).to_csv(temporary, index=False, float_format="%.6g")


def columns(scores: dict[str, Score]) -> dict[str, float | None]:
    """Scores as columns: ``gr``, ``gr_low``, ``gr_high`` and so on, as shares and not in per cent."""
    return {
        f"{name}{end}": value
        for name, score in scores.items()
        for end, value in (("", score.value), ("_low", score.low), ("_high", score.high))
    }


def rows(found: Sequence[Line]) -> list[dict[str, Any]]:
    """One row a point."""
    return [
        {"line": one.label, "knob": one.knob, "value": point.value, "runs": point.runs, **columns(point.scores)}
        for one in found
        for point in one.points
    ]


def _mean(scores: Sequence[Score]) -> Score:
    ends = {
        end: [value for score in scores if (value := getattr(score, end)) is not None]
        for end in ("value", "low", "high")
    }
    return Score(**{end: mean(values) if values else None for end, values in ends.items()})


def _settings(record: Record) -> dict[str, Any]:
    """What makes two runs different lines: the config without the knob, without files, without what is not set."""
    return {
        name: value
        for name, value in {**record.editor.config, **_interpolated(record)}.items()
        if name != record.editor.knob and value is not None and not (isinstance(value, str) and Path(value).suffix)
    }


def _interpolated(record: Record) -> dict[str, float]:
    """How far a run was interpolated, where that is no point on a curve but another curve of an editor with a knob."""
    return {INTERPOLATE: record.editor.interpolate} if record.editor.knob and record.editor.interpolate != 1 else {}


def place(value: float | None) -> float:
    """Where a point stands on its line: the edit as it is lies behind all that lies between it and the base."""
    return 1.0 if value is None else value


def _differing(settings: str, name: str, found: Iterable[tuple[str, str]]) -> str:
    """The settings in which a line differs from the others of its editor, in words."""
    mine = json.loads(settings)
    others = [json.loads(other) for known, other in found if known == name]
    return ", ".join(f"{key}={value}" for key, value in mine.items() if any(o.get(key) != value for o in others))


def _check_comparable(records: Sequence[Record]) -> None:
    def common(one: Record) -> dict[str, Any]:
        protocol = one.protocol.model_dump(
            include={"version", "precision", "limit", "edited_groups", "samples_per_edit"}
        )
        return {"base": one.base.weights_sha256, "data": one.data.fingerprint, **protocol}

    first = common(records[0])
    for one in records:
        for name, value in common(one).items():
            if value != first[name]:
                raise UserError(
                    f"these records are not comparable: {name} is {first[name]} in one and {value} in another "
                    f"({one.editor.spec}); give folders of one kind"
                )
