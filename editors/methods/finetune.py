"""`ft`, `ft-l1`, `ft-l2`: fine-tuning of the six FFN matrices on the editing sample alone.

Source: paper 4.1 and appendix A.5 (FT, FT with l1 / l2 regularisation); stop rule, optimiser and the plain
SGD first step as in the released code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.models.vit import cut_for, ffn_matrices, forward_prefix
from editors.core.base import BatchEditor, Edit, knob
from editors.core.descent import MAX_STEPS, DescentConfig, Trainable, descend

PENALTIES = (0.0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1)


@dataclass(frozen=True)
class FineTuneConfig:
    """Settings of `ft`."""

    lr: float = 2e-5
    max_steps: int = MAX_STEPS


@dataclass(frozen=True)
class PenaltyConfig(FineTuneConfig):
    """Settings of `ft-l1` and `ft-l2`; `c` weighs the penalty on the change Delta of the weights."""

    c: float = knob(0.001, sweep=PENALTIES)


class FineTune(BatchEditor):
    """Plain fine-tuning: one SGD step, then RMSProp, until right with cross-entropy below 0.01."""

    Config = FineTuneConfig

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """All failures in one descent; nothing here is random, so the seeds are not used."""
        names = self.matrices(model)
        base = {name: model.get_parameter(name) for name in names}
        cut = cut_for(model, names)
        assert cut is not None  # they lie in the blocks
        with torch.no_grad():
            tokens = forward_prefix(model, images.flatten(0, 1), cut).unflatten(0, images.shape[:2])
        start = {name: weight.expand(len(images), *weight.shape) for name, weight in base.items()}
        return descend(
            model,
            tokens,
            labels,
            cut,
            start,
            self.descent_config(),
            masks=self.masks(model, images, labels, seeds),
            penalty=lambda trainable, _: self.penalty(trainable, base),
        )

    def matrices(self, model: nn.Module) -> tuple[str, ...]:
        """Names of the weight matrices that are tuned: those of the edited FFNs here."""
        return ffn_matrices(model)

    def descent_config(self) -> DescentConfig:
        """How to step: the released FT's first step is plain SGD."""
        return DescentConfig(self.config.lr, first_step_sgd=True, max_steps=self.config.max_steps)

    def masks(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Which weights may move: masks by parameter name, one row a failure; none here."""
        return {}

    def penalty(self, trainable: Trainable, base: Mapping[str, Tensor]) -> Tensor:
        """Added to each failure's loss, (m,); zero here."""
        return next(iter(trainable.values())).new_zeros(())


class FineTuneL1(FineTune):
    """Fine-tuning with c * sum |Delta| added to the loss."""

    Config = PenaltyConfig

    def penalty(self, trainable: Trainable, base: Mapping[str, Tensor]) -> Tensor:
        """c times the l1 norm of the change, (m,)."""
        return self.config.c * sum((trainable[n] - base[n]).abs().flatten(1).sum(1) for n in base)


class FineTuneL2(FineTune):
    """Fine-tuning with c / 2 * sum Delta^2 added to the loss."""

    Config = PenaltyConfig

    def penalty(self, trainable: Trainable, base: Mapping[str, Tensor]) -> Tensor:
        """c / 2 times the squared l2 norm of the change, (m,)."""
        return self.config.c / 2 * sum((trainable[n] - base[n]).square().flatten(1).sum(1) for n in base)
