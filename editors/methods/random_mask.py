"""`random-mask`: masked fine-tuning of random units. The control for "where": any mask worth learning beats it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmark.models.vit import ffn_matrices, hidden_width
from editors.core.registry import register_editor
from editors.methods.masked import MaskedFineTune


@register_editor("random-mask")
class RandomMask(MaskedFineTune):
    """Units scored by chance, drawn from each failure's own seed."""

    def scores(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Uniform scores (m, layers, N_m); drawn on the CPU, so that every device keeps the same units."""
        shape = (len(ffn_matrices(model)), hidden_width(model))
        drawn = [torch.rand(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(drawn).to(images.device)
