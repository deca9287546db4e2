"""Figures in the paper's arrangement: small panels with one legend, six masks, and training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from leaderboard.analyses import figures
from leaderboard.scores.curves import Line

MOST_WITH_NOTES = 2  # panels that have room for crosses, repetitions and the knob's ends
COLUMNS = 4


def gr_lr(panels: Mapping[str, Sequence[Line]], title: str, path: Path) -> None:
    """GR-LR curves in per cent, a panel for each name; a line has one colour and marker in all of them."""
    labels = list(dict.fromkeys(line.label for lines in panels.values() for line in lines))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    large = len(panels) <= MOST_WITH_NOTES
    side = {1: 6.6, 2: 4.6}.get(len(panels), 2.7)
    figure, grid = figures.new_figure(
        side * columns, side * 0.85 * rows + 0.2 * len(labels) + 0.6, rows, columns, not large
    )
    notes: list[list[figures.Note]] = []
    for axes, (name, lines) in zip(grid, panels.items(), strict=False):
        notes.append([])
        for line in lines:
            number = labels.index(line.label)
            colour = figures.colours()[number % len(figures.colours())]
            marker = figures.MARKERS[number % len(figures.MARKERS)]
            notes[-1] += figures.draw_line(axes, line, colour, marker, large)
            if number >= len(figures.colours()):
                axes.lines[-1].set_linestyle("--")
        figures.finish(axes, large)
        if len(panels) > 1:
            axes.set_title(figures.wrapped(name, side), fontsize=9)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for number, axes in enumerate(grid[: len(panels)] if not large else ()):
        if number + columns >= len(panels):
            axes.set_xlabel("GR (%)")
            axes.tick_params(labelbottom=True)
        if number % columns == 0:
            axes.set_ylabel("LR (%)")
    figures.set_title(figure, title)
    figures.legend_below(figure, grid[: len(panels)])
    if large and len(labels) <= figures.MOST_LINES:
        for axes, texts in zip(grid, notes, strict=False):
            figures.write_notes(figure, axes, texts)
    figures.save(figure, path)


def masks(names: Sequence[str], matrix: np.ndarray, title: str, path: Path) -> None:
    """IoU (n, n) of the masks of n samples in per cent, numbered from 1; `names` say below which they are."""
    figure, (axes,) = figures.new_figure(6.0, 6.4)
    image = axes.imshow(100 * matrix, cmap="viridis", vmin=0, vmax=100)
    numbers = [str(n + 1) for n in range(len(names))]
    axes.set_xticks(range(len(names)), numbers)
    axes.set_yticks(range(len(names)), numbers)
    for (row, column), share in np.ndenumerate(matrix):
        colour = "black" if share > 0.6 else "white"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, ax=axes, label="IoU of masks (%)", shrink=0.8)
    shown = [figures.wrapped(f"{number} {name}", 5) for number, name in zip(numbers, names, strict=True)]
    axes.set_xlabel("\n".join(shown), fontsize=8.5)
    figures.set_title(figure, title)
    figures.save(figure, path)


def training(curve: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """The `sparsity` of the masks (left axis) and the `kl` (right axis) over the `iteration` of a training (Fig. H)."""
    figure, (axes,) = figures.new_figure(6.6, 4.2)
    left, right = figures.colours()[:2]
    axes.plot(curve["iteration"], curve["sparsity"], color=left, linewidth=1.6, label="mask sparsity")
    axes.set(xlabel="iteration", ylim=(0, 1))
    axes.set_ylabel("mask sparsity", color=left)
    other = axes.twinx()
    other.plot(curve["iteration"], curve["kl"], color=right, linewidth=1.6, linestyle="--", label="KL divergence")
    other.set_ylabel("KL divergence (dashed)", color=right)
    other.set_ylim(bottom=0)
    axes.grid(linewidth=0.3, alpha=0.6)
    for side in (axes, other):
        side.spines["top"].set_visible(False)
    figures.set_title(figure, title)
    figures.save(figure, path)
