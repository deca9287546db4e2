"""The one edit loop: gradient steps on many independent failures at once, each with its own stop.

The loss is a sum over failures that share no trained tensor, so one backward pass gives each failure its
own gradient, and elementwise optimisers keep them apart. A failure that is done leaves the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from editors.core.edit import Edit, FailedEdit, WeightEdit

Trainable = dict[str, Tensor]  # by name, one row a failure

LOSS_BELOW = 0.01  # the stop rule of the paper (4.1): right, and cross-entropy below this
MAX_STEPS = 100


@dataclass(frozen=True)
class DescentConfig:
    """The optimiser and the stop rule of a descent.

    lr: learning rate.
    optimizer: torch's, with its defaults.
    first_step_sgd: take one plain SGD step before the optimiser begins, as the released FT does. torch's first
        RMSProp step moves every weight by about 10 lr, so this matters.
    max_steps: steps at most.
    loss_below: stop when all samples are right and their mean cross-entropy is below this; 0 never stops early.
    clip_norm: before each step, scale the gradient of each failure, over all its trainable tensors together, down to
        this norm; None never clips.
    weight_decay: as the optimiser's own: so much of the trained values is added to their (clipped) gradient.
    """

    lr: float
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    first_step_sgd: bool = False
    max_steps: int = MAX_STEPS
    loss_below: float = LOSS_BELOW
    clip_norm: float | None = None
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Descent:
    """The descent of one failure.

    values: the trained tensors by name at the failure's own stop, without the axis of failures; none if it failed.
    steps: taken until then.
    failure: why it failed, or None.
    """

    values: dict[str, Tensor]
    steps: int
    failure: str | None = None


def descend(
    forward: Callable[[Trainable, Tensor], Tensor],
    tokens: Tensor,
    labels: Tensor,
    start: Mapping[str, Tensor],
    config: DescentConfig,
    *,
    masks: Mapping[str, Tensor] | None = None,
    penalty: Callable[[Trainable, Tensor], Tensor] | None = None,
    project: Callable[[Trainable, Tensor], None] | None = None,
) -> list[Descent]:
    """Train `start` on m failures until each is right and its cross-entropy small (paper, 4.1).

    Args:
        forward: logits (m', n, classes) of the failures that are still in the batch, from their trainable tensors,
            (m', ...) each, and their tokens (m', n, T, N).
        tokens: of each failure's n editing samples, (m, n, T, N), as `forward` takes them.
        labels: right classes (m, n), int64.
        start: initial values of the trainable tensors, each (m, ...), one row a failure.
        config: optimiser and stop rule.
        masks: gradients are multiplied by these before the step, (m, ...), broadcast behind the first axis.
        penalty: (m',) added to the losses of the failures that are still in the batch; the stop rule looks at
            the cross-entropy alone. Called with their trainable tensors and with their numbers (m',).
        project: called in the same way after every step, to bring the trainable tensors back, in place, into a set.

    Returns:
        One `Descent` a failure. A loss that is not finite ends that failure alone.
    """
    descents: list[Descent | None] = [None] * len(tokens)
    numbers = list(range(len(tokens)))
    active = torch.arange(len(tokens), device=tokens.device)
    trainable = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in start.items()}
    for value in trainable.values():
        value.requires_grad_()
    masks = dict(masks or {})
    optimizer = _optimizer(config, trainable)

    for step in range(config.max_steps + 1):
        if step == config.max_steps:  # nobody asks for the loss any more, but a NaN would have shown in it
            finite = [value.detach().reshape(len(value), -1).isfinite().all(1) for value in trainable.values()]
            is_broken, goes_on = (~torch.stack(finite).all(0)).tolist(), [False] * len(active)
        else:
            logits = forward(trainable, tokens)
            samples = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
            cross_entropy = samples.mean(1)
            right = (logits.argmax(-1) == labels).all(1)
            broken = ~cross_entropy.isfinite()
            unfinished = ~(broken | (right & (cross_entropy < config.loss_below)))
            is_broken, goes_on = torch.stack([broken, unfinished]).tolist()  # a step waits for a GPU here alone
        for row in (row for row, still in enumerate(goes_on) if not still):
            if is_broken[row]:
                descent = Descent({}, step, f"the loss, or a weight, was not finite after {step} steps")
            else:
                descent = Descent({name: value[row].detach().clone() for name, value in trainable.items()}, step)
            descents[numbers[row]] = descent
        if not any(goes_on):
            break
        loss = cross_entropy if penalty is None else cross_entropy + penalty(trainable, active)
        if all(goes_on):
            gradients = torch.autograd.grad(loss.sum(), list(trainable.values()))
            gradient_of = dict(zip(trainable, gradients, strict=True))
        else:  # the finished leave the batch
            rows = torch.tensor([row for row, still in enumerate(goes_on) if still], device=tokens.device)
            gradients = torch.autograd.grad(loss[rows].sum(), list(trainable.values()))
            gradient_of = {name: gradient[rows] for name, gradient in zip(trainable, gradients, strict=True)}
            numbers = [number for number, still in zip(numbers, goes_on, strict=True) if still]
            active, tokens, labels = active[rows], tokens[rows], labels[rows]
            masks = {name: mask[rows] for name, mask in masks.items()}
            trainable, optimizer = _take(trainable, optimizer, rows, config)
        for name, mask in masks.items():
            gradient_of[name] = gradient_of[name] * mask
        if config.clip_norm is not None:
            gradient_of = _clip(gradient_of, config.clip_norm)
        for name, value in trainable.items():
            value.grad = gradient_of[name].contiguous()  # a fused optimiser reads it as it lies in memory
            if step == 0 and config.first_step_sgd:
                value.data.add_(value.grad, alpha=-config.lr)
        if step > 0 or not config.first_step_sgd:
            optimizer.step()
        if project is not None:
            with torch.no_grad():
                project(trainable, active)
    return [descent for descent in descents if descent is not None]


def weight_edits(
    descents: Sequence[Descent], overrides: Callable[[Trainable], Mapping[str, Tensor]] = dict
) -> list[Edit]:
    """Edits of weights, one a descent; a failed one where the descent failed.

    `overrides` makes weight overrides (1, ...) of the trained tensors (1, ...) of one failure; by default the
    trained tensors are the overrides.
    """
    edits: list[Edit] = []
    for descent in descents:
        if descent.failure is not None:
            edits.append(FailedEdit(descent.failure, descent.steps))
        else:
            made = overrides({name: value[None] for name, value in descent.values.items()})
            edits.append(WeightEdit({name: value[0] for name, value in made.items()}, descent.steps))
    return edits


def _clip(gradient_of: Trainable, clip_norm: float) -> Trainable:
    """Gradients whose norm, for each failure over all tensors, is `clip_norm` at most (`torch`'s `clip_grad_norm_`)."""
    norm = torch.linalg.vector_norm(torch.cat([g.flatten(1) for g in gradient_of.values()], 1), dim=1)
    scale = (clip_norm / (norm + 1e-6)).clamp(max=1.0)
    return {name: g * scale.view(-1, *[1] * (g.ndim - 1)) for name, g in gradient_of.items()}


class _RMSprop(torch.optim.Adam):
    """torch's RMSprop by its fused Adam, which moves over the weights once: equal up to rounding, in half the time.

    With betas (0, alpha), Adam's step is lr g / (sqrt(v) / c + eps), where c = sqrt(1 - alpha^t) corrects v's bias;
    with lr / c and eps / c it is RMSprop's, lr g / (sqrt(v) + eps).
    """

    ALPHA = 0.99  # torch's RMSprop has this, and Adam's eps

    def __init__(self, weights: list[Tensor], lr: float, weight_decay: float, fused: bool) -> None:
        super().__init__(weights, lr, betas=(0.0, self.ALPHA), weight_decay=weight_decay, fused=fused)
        self.steps_taken = 0

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.steps_taken += 1
        correction = math.sqrt(1 - self.ALPHA**self.steps_taken)
        defaults = {name: self.defaults[name] / correction for name in ("lr", "eps")}
        self.param_groups[0].update(defaults)
        super().step(closure)


def _optimizer(config: DescentConfig, trainable: Trainable) -> torch.optim.Adam:
    optimizer = _RMSprop if config.optimizer == "rmsprop" else torch.optim.Adam
    return optimizer(list(trainable.values()), lr=config.lr, weight_decay=config.weight_decay, fused=True)


def _take(
    trainable: Trainable, optimizer: torch.optim.Adam, rows: Tensor, config: DescentConfig
) -> tuple[Trainable, torch.optim.Adam]:
    """The trainable tensors and the optimiser's state of the failures in these rows."""
    rest = {name: value.detach()[rows].requires_grad_() for name, value in trainable.items()}
    fresh = _optimizer(config, rest)
    for old, new in zip(trainable.values(), rest.values(), strict=True):
        for key, state in optimizer.state[old].items():
            fresh.state[new][key] = state[rows] if state.shape == old.shape else state
    if isinstance(fresh, _RMSprop) and isinstance(optimizer, _RMSprop):
        fresh.steps_taken = optimizer.steps_taken
    return rest, fresh
