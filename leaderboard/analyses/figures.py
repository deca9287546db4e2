"""The figures of the analyses, one function each, in colours that the colour-blind can distinguish."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.files import replacing
from benchmark.core.text import plotted, printable
from leaderboard.analyses.iou import Overlap
from leaderboard.analyses.layers import COMPONENTS, Position
from leaderboard.records.sections import Score
from leaderboard.scores.curves import Line
from leaderboard.scores.tables import cell

MARKERS = "osD^vP*X"
MOST_LINES = 8  # in one panel: as many as there are markers, and colours that can be told apart
PALETTE = "petroff10"  # of matplotlib, chosen for the colour-blind (Petroff, arXiv:2107.02270)
LETTERS = 9  # of a small text in an inch, also where most are wide
LETTERS_OF_LEGEND = 12  # of a legend's text in an inch, as a rule
SIDES = tuple(  # where a small text may stand, in points to the right and up: near first
    (right * far, up * far)
    for far in (4, 10, 16)
    for right, up in ((1, 1), (-1, 1), (1, -1), (-1, -1), (0, 2), (0, -2))
)
Axes = Any
Note = tuple[str, Score, Score, Any]  # text, GR, LR, colour


def gr_lr(lines: Sequence[Line], title: str, path: Path) -> None:
    """GR-LR curves in per cent (Figs. 4, 5, J-N): the mean of each line's runs, thin crosses for 95 % intervals.

    A panel holds eight lines at most, and those of the others in grey. Where a line has several runs, each is drawn
    thin. Small numbers give the knob at the ends of a line, and the legend below its name.
    """
    panels = [list(part) for part in np.array_split(np.arange(len(lines)), -(-len(lines) // MOST_LINES))]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(5.6 * columns + (columns == 1), 5.2 * rows, rows, columns)
    notes = []
    for axes, numbers in zip(grid, panels, strict=False):
        for line in (line for n, line in enumerate(lines) if n not in numbers):
            axes.plot(*xy([gr_and_lr(point.scores) for point in line.points]), color="0.85", linewidth=1, zorder=1)
        drawn = zip(colours(), MARKERS, (lines[n] for n in numbers), strict=False)
        notes.append([note for colour, marker, line in drawn for note in draw_line(axes, line, colour, marker)])
        finish(axes)
        _legend(axes, 5.6 if columns > 1 else 6.6)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    set_title(figure, title)
    for axes, texts in zip(grid, notes, strict=False):
        write_notes(figure, axes, texts)
    save(figure, path)


def draw_line(axes: Axes, line: Line, colour: Any, marker: str, large: bool = True) -> list[Note]:
    """Draw one line, if `large` with its crosses and runs; the small texts for its ends."""
    points = line.points
    scores = [gr_and_lr(point.scores) for point in points]
    for run in line.runs if large and len(line.runs) > 1 else ():
        axes.plot(*xy([gr_and_lr(record.scores) for record in run]), color=colour, linewidth=0.6)
    if large:
        _crosses(axes, scores, colour)
    sizes = {"markersize": 5, "linewidth": 1.6} if large else {"markersize": 3, "linewidth": 1}
    style = {"marker": marker, "label": line.description, **sizes}
    axes.plot(*xy(scores), color=colour, **style)
    ends = (0, -1) if len(points) > 1 else ()
    return [(f"{points[end].value:g}", *scores[end], colour) for end in ends]


def layers(positions: Sequence[Position], title: str, path: Path) -> None:
    """GR and LR in per cent of tuning each three consecutive FFNs or MSAs (Fig. 2b), named by their blocks.

    The positions are scored on the same images, so their intervals overlap far more than their differences
    would; they are left to the csv.
    """
    figure, (axes,) = new_figure(6.6, 5.2)
    notes = []
    for colour, marker, part in zip(colours(), MARKERS, COMPONENTS, strict=False):
        of_part = [position for position in positions if position.part == part]
        scores = [gr_and_lr(position.record.scores) for position in of_part]
        label = f"three {part.upper()}s; small numbers: blocks, counted from 1"
        axes.plot(*xy(scores), color=colour, marker=marker, linewidth=0.7, label=label)
        notes += [
            (f"{position.first}-{position.last}", gr, lr, colour)
            for position, (gr, lr) in zip(of_part, scores, strict=True)
        ]
    finish(axes)
    _legend(axes, 6.6)
    set_title(figure, title)
    write_notes(figure, axes, notes)
    save(figure, path)


def overlaps(results: Sequence[Overlap], title: str, path: Path) -> None:
    """Mean IoU of masks for each two groups, per cent: a heat map an editor, on one colour scale (Figs. 6 and I)."""
    names = results[0].groups
    side = 1.6 + 0.24 * len(names)
    figure, panels = new_figure(side * len(results) + 2.6, side + 2.4, columns=len(results), shared=False)
    known = [100 * result.matrix[np.isfinite(result.matrix)] for result in results]
    top = max((float(values.max()) for values in known if values.size), default=100.0)
    for axes, result in zip(panels, results, strict=True):
        image = axes.imshow(100 * result.matrix, cmap="viridis", vmin=0, vmax=top, aspect="auto")
        labels = [wrapped(name, 2.5) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), labels if axes is panels[0] else [""] * len(names), fontsize=8)
        axes.tick_params(left=axes is panels[0])
        within, across, _ = result.means.values()
        means = f"within {cell(within)} %, across {cell(across)} %"
        axes.set_title(f"{wrapped(result.editor, side)}\n{wrapped(means, side)}", fontsize=9)
    figure.colorbar(image, ax=list(panels), label="mean IoU of masks (%)")
    set_title(figure, title)
    save(figure, path)


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, shared: bool = True
) -> tuple[Any, list[Axes]]:
    """A figure and its axes, in rows; without pyplot, so that there is no display and no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).flat)


def colours() -> Sequence[Any]:
    """The palette."""
    import matplotlib

    return matplotlib.color_sequences[PALETTE]


def set_title(figure: Any, title: str) -> None:
    """The figure's title, on as many lines as its width needs."""
    figure.suptitle("\n".join(wrapped(line, figure.get_figwidth()) for line in title.split("\n")), fontsize=10)


def wrapped(text: str, inches: float) -> str:
    """A text on lines of at most so many inches."""
    return plotted(textwrap.fill(printable(text), int(LETTERS * inches)))


def _legend(axes: Axes, width: float) -> None:
    """A legend below the axes, in two columns where its texts are short enough."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels)) < LETTERS * (width / 2 - 0.8) else 1
    axes.legend(
        handles,
        [wrapped(label, width - 1.2) for label in labels],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
    )


def legend_below(figure: Any, panels: Sequence[Axes]) -> None:
    """One legend below all panels, of each label once, in as many columns as its texts leave room for."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    width = figure.get_figwidth()
    columns = max(1, min(4, int(LETTERS_OF_LEGEND * width / (max(map(len, handles)) + 6))))
    labels = [wrapped(label, width / columns - 0.7) for label in handles] if columns == 1 else [*map(plotted, handles)]
    figure.legend(handles.values(), labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5)


def gr_and_lr(scores: Mapping[str, Score]) -> tuple[Score, Score]:
    """The scores that a point has on both axes."""
    return scores["gr"], scores["lr"]


def xy(scores: Sequence[tuple[Score, Score]]) -> tuple[list[float], list[float]]:
    """The coordinates of points, in per cent."""
    return [_number(gr) for gr, _ in scores], [_number(lr) for _, lr in scores]


def _number(score: Score) -> float:
    return float("nan") if score.value is None else 100 * score.value


def _crosses(axes: Axes, scores: Sequence[tuple[Score, Score]], colour: Any) -> None:
    """95 % intervals of GR and LR through each point, where they are known."""
    for gr, lr in scores:
        for score, other, draw in ((gr, lr, axes.hlines), (lr, gr, axes.vlines)):
            if score.low is not None and score.high is not None:
                draw(_number(other), 100 * score.low, 100 * score.high, color=colour, linewidth=0.6, alpha=0.35)


def write_notes(figure: Any, axes: Axes, notes: Sequence[Note]) -> None:
    """A small text (text, GR, LR, colour) beside each point, on the first side where it covers nothing else."""
    figure.draw_without_rendering()  # so that the axes have their final size
    drawn = [
        (text, _number(gr), _number(lr), colour) for text, gr, lr, colour in notes if None not in (gr.value, lr.value)
    ]
    lines = [line for line in axes.lines if line.get_zorder() > 1]  # the grey ones of other panels may be covered
    taken = [(x - 3, y - 3, x + 3, y + 3) for line in lines for x, y in _along(axes.transData, line.get_xydata())]
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


def finish(axes: Axes, large: bool = True) -> None:
    """Label the axes of a plot of GR and LR, unless it is a small one among many, and draw its grid."""
    if large:
        axes.set(xlabel="generalisation rate GR (%)", ylabel="locality rate LR (%)")
        axes.tick_params(labelbottom=True, labelleft=True)
    axes.grid(linewidth=0.3, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Any, path: Path) -> None:
    """Write a figure in the format that the ending of `path` says, atomically; as SVG, equal figures are equal files.

    Texts of an SVG are outlines, so that it looks the same everywhere.
    """
    import matplotlib

    is_svg = path.suffix == ".svg"
    with replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(temporary, dpi=150, metadata={"Date": None} if is_svg else None)
