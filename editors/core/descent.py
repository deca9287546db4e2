"""The one edit loop: gradient steps on many independent failures at once, each with its own stop.

The loss is a sum over failures that share no trained tensor, so one backward pass gives each failure its
own gradient, and elementwise optimisers keep them apart. A failure that is done leaves the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.models.vit import Cut, forward_tail
from editors.core.base import Edit

Trainable = dict[str, Tensor]

LOSS_BELOW = 0.01  # the stop rule of the paper (4.1): right, and cross-entropy below this
MAX_STEPS = 100


@dataclass(frozen=True)
class DescentConfig:
    """How to step and when to stop.

    `first_step_sgd`: the released FT takes one plain SGD step before RMSProp begins. torch's first RMSProp
    step moves every weight by about 10 lr, so this matters. `loss_below` 0 never stops early.
    """

    lr: float
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    first_step_sgd: bool = False
    max_steps: int = MAX_STEPS
    loss_below: float = LOSS_BELOW


def descend(
    model: nn.Module,
    tokens: Tensor,
    labels: Tensor,
    cut: Cut,
    start: Mapping[str, Tensor],
    rule: DescentConfig,
    *,
    overrides: Callable[[Trainable], Mapping[str, Tensor]] = dict,
    masks: Mapping[str, Tensor] | None = None,
    penalty: Callable[[Trainable, Tensor], Tensor] | None = None,
    project: Callable[[Trainable, Tensor], None] | None = None,
    forward: Callable[[nn.Module, Tensor, Cut, Mapping[str, Tensor]], Tensor] = forward_tail,
) -> list[Edit]:
    """Train `start` on m failures until each is right and its cross-entropy small (paper, 4.1).

    Args:
        model: the frozen base.
        tokens: prefix of each failure's n editing samples at `cut`, (m, n, T, N).
        labels: right classes (m, n), int64.
        start: initial values of what is trainable, each (m, ...), one row a failure.
        overrides: from the trained tensors to the weight overrides they stand for; identity by default.
        masks: gradients are multiplied by these before the step, (m, ...), broadcast behind the first axis.
        penalty: (m',) added to the losses of the failures that are still in the batch; the stop rule looks at
            the cross-entropy alone. Called with what is trained of those, and with their numbers (m',).
        project: called in the same way after every step, to bring what is trained back, in place, into a set.
        forward: logits (m', n, classes) from model, tokens, cut and overrides; for an editor that changes no
            weights, whose "overrides" are what its own forward takes.

    Returns:
        One `Edit` a failure, with the overrides at its own stop, and the number of steps it took. A loss
        that is not finite ends that failure alone, as a failed edit.
    """
    edits: list[Edit | None] = [None] * len(tokens)
    active = torch.arange(len(tokens), device=tokens.device)
    trainable = {name: value.detach().clone().requires_grad_() for name, value in start.items()}
    masks = dict(masks or {})
    optimizer = _optimizer(rule, trainable)

    for step in range(rule.max_steps + 1):
        values = overrides(trainable)
        logits = forward(model, tokens, cut, values)
        fit = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).mean(1)
        right = (logits.argmax(-1) == labels).all(1)
        broken = ~fit.isfinite()
        going = ~(broken | (right & (fit < rule.loss_below)))
        if step == rule.max_steps:
            going = torch.zeros_like(going)
        for row in (~going).nonzero().flatten().tolist():
            if broken[row]:
                edit = Edit(steps=step, failure=f"the loss was not finite after {step} steps")
            else:
                edit = Edit({name: value[row].detach().clone() for name, value in values.items()}, steps=step)
            edits[int(active[row])] = edit
        if not going.any():
            break
        loss = fit if penalty is None else fit + penalty(trainable, active)
        gradients = dict(zip(trainable, torch.autograd.grad(loss[going].sum(), list(trainable.values())), strict=True))
        if not going.all():  # the finished leave the batch
            active, tokens, labels = active[going], tokens[going], labels[going]
            masks = {name: mask[going] for name, mask in masks.items()}
            gradients = {name: gradient[going] for name, gradient in gradients.items()}
            trainable, optimizer = _keep(trainable, optimizer, going, rule)
        for name, mask in masks.items():
            gradients[name] = gradients[name] * mask
        for name, value in trainable.items():
            value.grad = gradients[name]
            if step == 0 and rule.first_step_sgd:
                value.data.add_(value.grad, alpha=-rule.lr)
        if step > 0 or not rule.first_step_sgd:
            optimizer.step()
        if project is not None:
            with torch.no_grad():
                project(trainable, active)
    return [edit for edit in edits if edit is not None]


def _optimizer(rule: DescentConfig, trainable: Trainable) -> torch.optim.Optimizer:
    kinds = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}
    return kinds[rule.optimizer](list(trainable.values()), lr=rule.lr)


def _keep(
    trainable: Trainable, optimizer: torch.optim.Optimizer, going: Tensor, rule: DescentConfig
) -> tuple[Trainable, torch.optim.Optimizer]:
    """The same trained tensors and optimiser state for the failures that go on."""
    kept = {name: value.detach()[going].requires_grad_() for name, value in trainable.items()}
    fresh = _optimizer(rule, kept)
    for old, new in zip(trainable.values(), kept.values(), strict=True):
        for key, state in optimizer.state[old].items():
            fresh.state[new][key] = state[going] if state.shape == old.shape else state
    return kept, fresh
