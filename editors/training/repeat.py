"""Edits that a trained network makes in one go, applied again until the prediction is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from editors.core.edit import Edit, FailedEdit, WeightEdit

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Look:
    """What m' failures look like under their weights.

    logits: (m', n, classes). loss: cross-entropy of each of their n samples, (m', n). change: makes the next weights.
    """

    logits: Tensor
    loss: Tensor
    change: Callable[[], Weights]


def until_right(
    labels: Tensor, weights: Weights, look: Callable[[Weights, Tensor], Look], max_steps: int
) -> list[Edit]:
    """Change the weights of m failures until all samples of each are right; the finished leave the batch.

    This is no `descend`: the step is no optimiser's, and the stop rule is another, since each application adds the
    whole learned change.

    Args:
        labels: right classes (m, n), int64.
        weights: what is edited, each (m, ...), one row a failure.
        look: given the weights of those that go on and their numbers (m',).
        max_steps: applications at most.

    Returns:
        One `Edit` a failure, with the number of applications. A loss that is not finite ends that failure alone, as
        a failed edit.
    """
    edits: list[Edit | None] = [None] * len(labels)
    rows = torch.arange(len(labels), device=labels.device)
    for step in range(max_steps + 1):
        seen = look(weights, rows)
        broken = ~seen.loss.isfinite().all(1)
        going = ~(broken | (seen.logits.argmax(-1) == labels[rows]).all(1))
        if step == max_steps:
            going = torch.zeros_like(going)
        for place in (~going).nonzero().flatten().tolist():
            if broken[place]:
                edits[int(rows[place])] = FailedEdit(f"the loss was not finite after {step} steps", step)
            else:
                own = {name: value[place].clone() for name, value in weights.items()}
                edits[int(rows[place])] = WeightEdit(own, step)
        if not going.any():
            break
        weights, rows = {name: value[going] for name, value in seen.change().items()}, rows[going]
    return [edit for edit in edits if edit is not None]
