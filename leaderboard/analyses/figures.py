"""The figures of the analyses, one function each, in colours that the colour-blind can distinguish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.files import replacing
from benchmark.core.text import plotted
from leaderboard.analyses.iou import Overlap
from leaderboard.analyses.layers import COMPONENTS, Position
from leaderboard.records.sections import Score
from leaderboard.scores.curves import Line, place

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito, no yellow
MARKERS = "osD^vP*X"
SIDES = tuple(  # where a small text may stand, in points to the right and up: near first
    (right * far, up * far)
    for far in (4, 10, 16)
    for right, up in ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 2), (0, -2))
)
Axes = Any


def gr_lr(lines: Sequence[Line], title: str, path: Path) -> None:
    """GR-LR curves in per cent (Figs. 4, 5, J-N): the mean of each line's runs, thin crosses for 95 % intervals.

    Where a line has several runs, each is drawn thin. Small numbers give the knob at the ends of a line.
    """
    figure, axes = _figure(7.2, 4.4)
    notes = []
    for number, line in enumerate(lines):
        colour, points = COLOURS[number % len(COLOURS)], line.points
        scores = [(point.scores["gr"], point.scores["lr"]) for point in points]
        for run in line.runs if len(line.runs) > 1 else ():
            axes.plot(*_xy([(record.scores["gr"], record.scores["lr"]) for record in run]), color=colour, linewidth=0.6)
        _crosses(axes, scores, colour)
        label = f"{line.label} ({len(line.runs)} runs)" if len(line.runs) > 1 else line.label
        marker = MARKERS[number % len(MARKERS)]
        style = "-" if number < len(COLOURS) else "--"  # when the colours begin again
        axes.plot(
            *_xy(scores),
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.6,
            linestyle=style,
            label=plotted(label),
        )
        ends = (0, -1) if len(points) > 1 else ()
        notes += [(f"{place(points[end].value):g}", *scores[end], colour) for end in ends]
    knobs = list(dict.fromkeys(line.knob for line in lines if line.knob))
    _finish(axes, title, f"small numbers: {' or '.join(knobs)}" if knobs else "")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
    _write_notes(figure, axes, notes)
    _save(figure, path)


def layers(positions: Sequence[Position], title: str, path: Path) -> None:
    """GR and LR in per cent of tuning each three consecutive FFNs or MSAs (Fig. 2b), named by their blocks.

    The positions are scored on the same images, so their intervals overlap far more than their differences
    would; they are left to the csv.
    """
    figure, axes = _figure(6.4, 4.8)
    notes = []
    for number, part in enumerate(COMPONENTS):
        of_part = [position for position in positions if position.part == part]
        scores = [(position.record.scores["gr"], position.record.scores["lr"]) for position in of_part]
        colour, marker = COLOURS[number], MARKERS[number]
        axes.plot(*_xy(scores), color=colour, marker=marker, linewidth=0.7, label=f"three {part.upper()}s")
        notes += [
            (f"{position.first}-{position.last}", gr, lr, colour)
            for position, (gr, lr) in zip(of_part, scores, strict=True)
        ]
    _finish(axes, title, "small numbers: blocks, counted from 1")
    axes.legend(frameon=False, fontsize=9)
    _write_notes(figure, axes, notes)
    _save(figure, path)


def overlaps(results: Sequence[Overlap], title: str, path: Path) -> None:
    """Mean IoU of masks for each two groups, per cent: a heat map an editor, on one colour scale (Figs. 6 and I)."""
    names = results[0].groups
    side = 1.6 + 0.24 * len(names)
    figure, panels = _figure(side * len(results) + 2.6, side + 2.4, columns=len(results))
    top = max(100 * float(np.nanmax(result.matrix)) for result in results)
    for axes, result in zip(panels, results, strict=True):
        image = axes.imshow(100 * result.matrix, cmap="viridis", vmin=0, vmax=top, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names if axes is panels[0] else [""] * len(names), fontsize=8)
        axes.tick_params(left=axes is panels[0])
        within, across, _ = result.means.values()
        axes.set_title(f"{plotted(result.editor)}\nwithin {_per_cent(within)}, across {_per_cent(across)}", fontsize=9)
    figure.colorbar(image, ax=list(panels), label="mean IoU of masks (%)")
    figure.suptitle(plotted(title), fontsize=11)
    _save(figure, path)


def _figure(width: float, height: float, columns: int | None = None) -> tuple[Any, Any]:
    """A figure and its axes, or a row of them; without pyplot, so that there is no display and no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots() if columns is None else figure.subplots(1, columns, squeeze=False)[0]


def _xy(scores: Sequence[tuple[Score, Score]]) -> tuple[list[float], list[float]]:
    return [_number(gr) for gr, _ in scores], [_number(lr) for _, lr in scores]


def _number(score: Score) -> float:
    return float("nan") if score.value is None else 100 * score.value


def _per_cent(score: Score) -> str:
    return f"{_number(score):.1f} %"


def _crosses(axes: Axes, scores: Sequence[tuple[Score, Score]], colour: str) -> None:
    """95 % intervals of GR and LR through each point, where they are known."""
    for gr, lr in scores:
        for score, other, draw in ((gr, lr, axes.hlines), (lr, gr, axes.vlines)):
            if score.low is not None and score.high is not None:
                draw(_number(other), 100 * score.low, 100 * score.high, color=colour, linewidth=0.6, alpha=0.35)


def _write_notes(figure: Any, axes: Axes, notes: Sequence[tuple[str, Score, Score, str]]) -> None:
    """A small text (text, GR, LR, colour) beside each point, on the first side where it covers nothing else."""
    figure.draw_without_rendering()  # so that the axes have their final size
    drawn = [
        (text, _number(gr), _number(lr), colour) for text, gr, lr, colour in notes if None not in (gr.value, lr.value)
    ]
    taken = [(x - 3, y - 3, x + 3, y + 3) for line in axes.lines for x, y in _along(axes.transData, line.get_xydata())]
    for text, x, y, colour in drawn:
        for right, up in SIDES:
            note = axes.annotate(
                text, (x, y), xytext=(right, up), textcoords="offset points", fontsize=7.5, color=colour,
                ha="center" if right == 0 else "left" if right > 0 else "right", va="bottom" if up > 0 else "top",
            )  # fmt: skip
            box = note.get_window_extent()
            free = all(box.x1 < left or box.x0 > end or box.y1 < low or box.y0 > top for left, low, end, top in taken)
            if free or (right, up) == SIDES[-1]:
                taken.append((box.x0, box.y0, box.x1, box.y1))
                break
            note.remove()


def _along(to_pixels: Any, points: np.ndarray) -> np.ndarray:
    """Pixels (n, 2) along a line through these points of the data."""
    ends = to_pixels.transform(points[np.isfinite(points).all(1)])
    steps = np.linspace(0, 1, 40)[:, None, None]
    return np.concatenate([ends, (ends[:-1] + steps * (ends[1:] - ends[:-1])).reshape(-1, 2)])


def _finish(axes: Axes, title: str, note: str) -> None:
    axes.set(xlabel="generalisation rate GR (%)", ylabel="locality rate LR (%)")
    axes.set_title(plotted(title), fontsize=9)
    axes.grid(linewidth=0.3, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if note:
        axes.text(0.01, 0.01, note, transform=axes.transAxes, fontsize=7.5, color="0.35")


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
