"""Edits that a trained network makes in one go, applied again until the prediction is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from editors.core.edit import Edit, FailedEdit, WeightEdit

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Attempt:
    """The result of one forward pass over m' failures under their current weights.

    logits: (m', n, classes).
    loss: cross-entropy of each of their n samples, (m', n).
    change: makes the next weights.
    """

    logits: Tensor
    loss: Tensor
    change: Callable[[], Weights]


def until_right(
    labels: Tensor, weights: Weights, attempt: Callable[[Weights, Tensor], Attempt], max_steps: int
) -> list[Edit]:
    """Change the weights of m failures until all samples of each are right; the finished leave the batch.

    Unlike `descend`, it has no optimiser and another stop rule, since each application adds the whole learned change.

    Args:
        labels: right classes (m, n), int64.
        weights: the weights to edit, each (m, ...), one row a failure.
        attempt: called with the weights of the unfinished failures and their numbers (m',).
        max_steps: applications at most.

    Returns:
        One `Edit` a failure, with the number of applications. A loss that is not finite ends that failure alone, as
        a failed edit.
    """
    edits: list[Edit | None] = [None] * len(labels)
    rows = torch.arange(len(labels), device=labels.device)
    for step in range(max_steps + 1):
        attempted = attempt(weights, rows)
        broken = ~attempted.loss.isfinite().all(1)
        unfinished = ~(broken | (attempted.logits.argmax(-1) == labels[rows]).all(1))
        if step == max_steps:
            unfinished = torch.zeros_like(unfinished)
        for row in (~unfinished).nonzero().flatten().tolist():
            if broken[row]:
                edits[int(rows[row])] = FailedEdit(f"the loss was not finite after {step} steps", step)
            else:
                overrides = {name: value[row].clone() for name, value in weights.items()}
                edits[int(rows[row])] = WeightEdit(overrides, step)
        if not unfinished.any():
            break
        weights, rows = {name: value[unfinished] for name, value in attempted.change().items()}, rows[unfinished]
    return [edit for edit in edits if edit is not None]
