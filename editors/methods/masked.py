"""Shared by masked fine-tuning editors: a score a unit, the top ones kept, RMSProp on those alone.

Editors differ only in how they score the units (see `editors.core.masks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from benchmark.core.ranges import Fraction
from benchmark.models.vit import ffn_matrices, unit_masks
from editors.core.base import knob
from editors.core.descent import DescentConfig
from editors.core.masks import SPARSITIES, MaskingEditor, keep_top
from editors.methods.finetune import FineTune, FineTuneConfig


@dataclass(frozen=True)
class MaskedConfig(FineTuneConfig):
    """Settings of a masked editor; `sparsity` is the share of units that stay as they are: 0.95 keeps 5 %."""

    sparsity: Fraction = knob(0.95, sweep=SPARSITIES)


class MaskedFineTune(FineTune, MaskingEditor):
    """Fine-tuning in which only the best-scored units move; RMSProp from the first step."""

    Config = MaskedConfig

    def masks(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """The best-scored units at the sparsity of the config, as masks by parameter name."""
        mask = keep_top(self.scores(model, images, labels, seeds), self.config.sparsity).to(images.device)
        return unit_masks(mask, ffn_matrices(model))

    def descent_config(self) -> DescentConfig:
        """RMSProp from the start, as the released masked edit does."""
        return DescentConfig(self.config.lr, max_steps=self.config.max_steps)
