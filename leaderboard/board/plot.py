"""The GR-LR plot of a page, as plotly draws it: a line an editor over its knob, and the Pareto front."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

from benchmark.core.text import printable
from leaderboard.board.entries import Entry
from leaderboard.records.sections import Score
from leaderboard.scores.curves import lines
from leaderboard.scores.ranking import LEAST_SUCCESS
from leaderboard.scores.tables import cell


def find_front(entries: Sequence[Entry]) -> list[Entry]:
    """The settings that none exceeds in GR and LR, by rising GR, among those with an SR of `LEAST_SUCCESS` or more."""
    succeeding = [entry for entry in entries if (_share(entry, "sr") or 0) >= LEAST_SUCCESS]
    known = [entry for entry in succeeding if _share(entry, "gr") is not None]
    front: list[Entry] = []
    for entry in sorted(known, key=lambda entry: (-(_share(entry, "gr") or 0), -(_share(entry, "lr") or 0))):
        if not front or (_share(entry, "lr") or 0) > (_share(front[-1], "lr") or 0):
            front.append(entry)
    return front[::-1]


def draw(entries: Sequence[Entry]) -> dict[str, Any]:
    """The figure as JSON: `data` and `layout`. Colours are names of the style sheet's, which the page fills in.

    Each trace has in `meta` its role: a line of settings, or the front.
    """
    import plotly.graph_objects as go

    entry_of = {id(entry.record): entry for entry in entries}
    front = find_front(entries)
    figure = go.Figure()
    for line in lines([entry.record for entry in entries]):
        for run in line.runs:
            points = [entry_of[id(record)] for record in run]
            figure.add_trace(_trace(points, "line", mode="lines+markers"))
    figure.add_trace(_trace(front, "front", mode="lines+markers+text", line_shape="vh"))
    figure.update_layout(
        template="none",
        showlegend=False,
        hovermode="closest",
        dragmode=False,
        margin={"l": 56, "r": 16, "t": 16, "b": 52},
        xaxis={"title": {"text": "GR: other failures of the group corrected (%)"}, "zeroline": False},
        yaxis={"title": {"text": "LR: other images kept right (%)"}, "zeroline": False},
    )
    drawn: dict[str, Any] = json.loads(figure.to_json())
    return drawn


def _trace(points: Sequence[Entry], role: str, **style: Any) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[_percent(entry.record.scores["gr"].value) for entry in points],
        y=[_percent(entry.record.scores["lr"].value) for entry in points],
        error_x=_bars([entry.record.scores["gr"] for entry in points]),
        error_y=_bars([entry.record.scores["lr"] for entry in points]),
        customdata=[entry.page for entry in points],
        hovertext=[_hover(entry) for entry in points],
        hoverinfo="text",
        text=_labels(points) if role == "front" else None,
        meta={"role": role},
        **style,
    )


def _labels(points: Sequence[Entry]) -> list[str]:
    """The editor's name at its best point of the front, unless another name stands near; empty texts elsewhere."""
    by_product = sorted(points, key=lambda entry: -(_share(entry, "gr") or 0) * (_share(entry, "lr") or 0))
    labelled: list[Entry] = []
    for entry in by_product:
        named = any(other.record.editor.name == entry.record.editor.name for other in labelled)
        if not named and all(_is_apart(entry, other) for other in labelled):
            labelled.append(entry)
    pages = {entry.page for entry in labelled}
    return [html.escape(printable(entry.record.editor.name)) if entry.page in pages else "" for entry in points]


def _is_apart(entry: Entry, other: Entry) -> bool:
    """Return whether names at both points have room on a phone, where one takes a quarter of the plot's width."""
    gr, lr = (abs((_share(entry, name) or 0) - (_share(other, name) or 0)) for name in ("gr", "lr"))
    return gr > 0.25 or lr > 0.1


def _bars(scores: Sequence[Score]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "visible": False,
        "thickness": 1,
        "width": 0,
        "array": [_length(score.value, score.high) for score in scores],
        "arrayminus": [_length(score.low, score.value) for score in scores],
    }


def _length(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else round(100 * (high - low), 3)


def _hover(entry: Entry) -> str:
    scores = entry.record.scores
    names = {"gr": "GR", "lr": "LR", "sr": "SR"}
    rows = [f"{title} {cell(scores[name], interval=True)}" for name, title in names.items()]
    return "<br>".join([f"<b>{html.escape(printable(entry.title))}</b>", *rows])


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 3)


def _share(entry: Entry, name: str) -> float | None:
    return entry.record.scores[name].value
