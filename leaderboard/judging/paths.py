"""The shortest way from images to the logits of an edited model, or of several at once that share all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.models.layers import Overrides, stack_overrides
from benchmark.models.vit import (
    Cut,
    Model,
    cut_for,
    ffn_difference,
    forward,
    forward_tail,
    forward_tail_beyond,
)
from editors.core.edit import Edit, FailedEdit, ModuleEdit, TailEdit, WeightEdit

Forward = Callable[[Tensor], Tensor]  # logits of one batch, of images or of tokens at a cut
Likeness = frozenset[tuple[str, torch.Size]]


class Path(NamedTuple):
    """The way from images to logits: its name in outcomes, the last step's function (None of a failed edit), its input.

    Tokens (n, T, N) at the cut, or (n, 2, T, N) at it and behind the base's FFN there; images where there is no cut.
    Logits are (n, classes), or (m, n, classes) of m edits at once, whose `axes` are (m,).
    """

    name: str
    forward: Forward | None
    cut: Cut | None = None
    both_sides: bool = False
    axes: tuple[int, ...] = ()


def likeness(model: Model, edit: Edit) -> Likeness:
    """Names and shapes of an edit's weights: edits that are alike in them have one path together.

    Empty for an edit that has a path of its own.
    """
    if isinstance(edit, WeightEdit) and cut_for(model, edit.overrides) is not None:
        return frozenset((name, value.shape) for name, value in edit.overrides.items())
    return frozenset()


def path_of(model: Model, edits: Sequence[Edit]) -> Path:
    """The shortest path that computes all that an edit can change, or several that have the same `likeness`."""
    match edits[0]:
        case FailedEdit():
            return Path("tail", None)
        case TailEdit(tail, cut):
            return Path("tail", tail, cut)
        case ModuleEdit(module):
            return Path("called", module)
    return _path_of_weights(model, [edit.overrides for edit in edits if isinstance(edit, WeightEdit)])


def _path_of_weights(model: Model, edits: Sequence[Overrides]) -> Path:
    cut, overrides = cut_for(model, edits[0]), stack_overrides(edits)
    axes = (len(edits),) if len(edits) > 1 else ()
    if cut is None:
        return Path("full", lambda images: forward(model, images, overrides))
    differences = [ffn_difference(model, cut.block, edit) for edit in edits] if cut.ffn else [None]
    units = [difference for difference in differences if difference is not None]
    if len(units) < len(edits):
        return Path("tail", lambda tokens: forward_tail(model, _for_each(tokens, axes), cut, overrides), cut, axes=axes)
    difference = stack_overrides(units)

    def beyond(tokens: Tensor) -> Tensor:
        before, behind = (_for_each(side, axes) for side in tokens.unbind(1))
        return forward_tail_beyond(model, before, behind, cut, difference, overrides)

    return Path("tail", beyond, cut, both_sides=True, axes=axes)


def _for_each(tokens: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The same tokens for each of the edits, without a copy."""
    return tokens.expand(*axes, *tokens.shape)
