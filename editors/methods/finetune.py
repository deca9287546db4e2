"""`ft`, `ft-l1`, `ft-l2`: fine-tuning of the six FFN matrices on the editing sample alone.

Source: paper 4.1 and appendix A.5 (FT, FT with l1 / l2 regularisation); stop rule, optimiser and the plain
SGD first step as in the released code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.core.ranges import Count, NotNegative, Positive
from benchmark.models.vit import cut_for, ffn_matrices, forward_prefix, forward_tail
from editors.core.base import BatchEditor, knob
from editors.core.descent import MAX_STEPS, DescentConfig, Trainable, descend, weight_edits
from editors.core.edit import Edit
from editors.core.registry import register_editor

PENALTIES = (0.0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1)


@dataclass(frozen=True)
class FineTuneConfig:
    """Settings of `ft`."""

    lr: Positive = 2e-5
    max_steps: Count = MAX_STEPS


@dataclass(frozen=True)
class PenaltyConfig(FineTuneConfig):
    """Settings of `ft-l1` and `ft-l2`; `c` weighs the penalty on the change Delta of the weights."""

    c: NotNegative = knob(0.001, sweep=PENALTIES)


@register_editor("ft")
class FineTune(BatchEditor):
    """Plain fine-tuning: one SGD step, then RMSProp, until right with cross-entropy below 0.01."""

    Config = FineTuneConfig

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """All failures in one descent; nothing here is random, so the seeds are not used."""
        names = self.matrices(model)
        base = {name: model.get_parameter(name) for name in names}
        cut = cut_for(model, names)
        assert cut is not None  # they lie in the blocks or behind them
        with torch.no_grad():
            tokens = forward_prefix(model, images.flatten(0, 1), cut).unflatten(0, images.shape[:2])
        start = {name: weight.expand(len(images), *weight.shape) for name, weight in base.items()}
        descents = descend(
            lambda weights, tokens: forward_tail(model, tokens, cut, weights),
            tokens,
            labels,
            start,
            self.descent_config(),
            masks=self.masks(model, images, labels, seeds),
            penalty=lambda weights, _: self.penalty(weights, base),
        )
        return weight_edits(descents)

    def matrices(self, model: nn.Module) -> tuple[str, ...]:
        """Names of the weight matrices that are tuned: those of the edited FFNs here."""
        return ffn_matrices(model)

    def descent_config(self) -> DescentConfig:
        """Optimiser and stop rule: the released FT's first step is plain SGD."""
        return DescentConfig(self.config.lr, first_step_sgd=True, max_steps=self.config.max_steps)

    def masks(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Masks over the weights that may move, by parameter name, one row a failure; none here."""
        return {}

    def penalty(self, weights: Trainable, base: Mapping[str, Tensor]) -> Tensor:
        """Added to each failure's loss, (m,); zero here."""
        return next(iter(weights.values())).new_zeros(())


@register_editor("ft-l1")
class FineTuneL1(FineTune):
    """Fine-tuning with c * sum |Delta| added to the loss."""

    Config = PenaltyConfig

    def penalty(self, weights: Trainable, base: Mapping[str, Tensor]) -> Tensor:
        """c times the l1 norm of the change, (m,)."""
        norms = ((weights[name] - base[name]).abs().flatten(1).sum(1) for name in base)
        penalty: Tensor = self.config.c * sum(norms)
        return penalty


@register_editor("ft-l2")
class FineTuneL2(FineTune):
    """Fine-tuning with c / 2 * sum Delta^2 added to the loss."""

    Config = PenaltyConfig

    def penalty(self, weights: Trainable, base: Mapping[str, Tensor]) -> Tensor:
        """c / 2 times the squared l2 norm of the change, (m,)."""
        squares = ((weights[name] - base[name]).square().flatten(1).sum(1) for name in base)
        penalty: Tensor = self.config.c / 2 * sum(squares)
        return penalty
