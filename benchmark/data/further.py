"""The rules by which the further images that must not change are chosen, beside D_l: `locality_taken`, `locality_far`.

D_l lies near the boundary of a base and holds few images of any one class, so an edit that loses a whole class hardly
moves LR. The images here are right by the base whatever its margin. Not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

A_CLASS = 10  # images of `locality_taken` of each class, where there are as many
FAR_IMAGES = 1000  # of `locality_far` in the full benchmark: half as many as in D_l, as in the mini


def choose_further(
    labels: np.ndarray,
    is_right: np.ndarray,
    classes: Iterable[int],
    is_new: Callable[[int], bool],
    rng: np.random.Generator,
    n_far: int = FAR_IMAGES,
) -> tuple[list[int], list[int]]:
    """Draw the rows of both, each image once: first of each class that edits take from, then of all.

    Args:
        labels: the true classes, (n,).
        is_right: the images that the base gets right, (n,) bool.
        classes: those that the base wrongly predicts in the groups.
        is_new: asked once for a row that is drawn; False for an image that is scored or learned from elsewhere, or
            that it was asked for before.
        rng: what draws.
        n_far: images of `locality_far`.
    """
    taken = []
    for label in sorted({*classes}):
        taken += _draw_new(np.flatnonzero(is_right & (labels == label)), A_CLASS, is_new, rng)
    return taken, _draw_new(np.flatnonzero(is_right), n_far, is_new, rng)


def _draw_new(rows: np.ndarray, count: int, is_new: Callable[[int], bool], rng: np.random.Generator) -> list[int]:
    """At most `count` of these rows at random, new ones only."""
    drawn: list[int] = []
    for row in rng.permutation(rows).tolist():
        if len(drawn) == count:
            break
        if is_new(row):
            drawn.append(row)
    return drawn
