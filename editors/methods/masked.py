"""Shared by masked fine-tuning editors: a score a unit, the top ones kept, RMSProp on those alone.

A unit is row i of an ``fc1.weight`` or column i of an ``fc2.weight`` of the edited FFNs; there are
N_m x 6 of them (paper, 3.2). Editors differ only in how they score the units.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.models.vit import ffn_matrices, unit_masks
from editors.core.base import knob
from editors.core.descent import DescentConfig
from editors.methods.finetune import FineTune, FineTuneConfig

SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.95)


@dataclass(frozen=True)
class MaskedConfig(FineTuneConfig):
    """Settings of a masked editor; `sparsity` is the share of units that stay as they are: 0.95 keeps 5 %."""

    sparsity: float = knob(0.95, sweep=SPARSITIES)


def keep_top(scores: Tensor, sparsity: float) -> Tensor:
    """Boolean masks of the same shape (m, layers, N_m): exactly round((1 - sparsity) * layers * N_m) kept each.

    The released code compares strictly with the k-th score and so keeps k - 1; this keeps k.
    """
    flat = scores.flatten(1)
    count = round((1 - sparsity) * flat.shape[1])
    mask = torch.zeros_like(flat, dtype=torch.bool)
    return mask.scatter(1, flat.topk(count, dim=1).indices, True).view(scores.shape)


class MaskedFineTune(FineTune):
    """Fine-tuning in which only the best-scored units move; RMSProp from the first step."""

    Config = MaskedConfig

    @abstractmethod
    def scores(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """A score for every unit of every failure, (m, layers, N_m); higher is kept first."""

    def masks(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """The best-scored units at the wanted sparsity, as masks by parameter name."""
        kept = keep_top(self.scores(model, images, labels, seeds), self.config.sparsity)
        return unit_masks(kept, ffn_matrices(model))

    def descent_config(self) -> DescentConfig:
        """RMSProp from the start, as the released masked edit does."""
        return DescentConfig(self.config.lr, max_steps=self.config.max_steps)
