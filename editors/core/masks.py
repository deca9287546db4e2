"""Editors that change only some FFN units: each unit gets a score, and the best-scored ones are changed.

A unit is row i of an ``fc1.weight`` or column i of an ``fc2.weight`` of the edited FFNs; there are
N_m x 6 of them (paper, 3.2).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from editors.core.base import Editor

SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.95)


def keep_top(scores: Tensor, sparsity: float) -> Tensor:
    """Boolean masks of the same shape (m, layers, N_m): True for exactly round((1 - sparsity) * layers * N_m) each.

    The released code compares strictly with the k-th score and so keeps k - 1; this keeps k.
    """
    flat = scores.flatten(1)
    count = round((1 - sparsity) * flat.shape[1])
    mask = torch.zeros_like(flat, dtype=torch.bool)
    return mask.scatter(1, flat.topk(count, dim=1).indices, True).view(scores.shape)


class MaskingEditor(Editor):
    """An editor that scores the units; its config's `sparsity` is the share of them that stay as they are."""

    @abstractmethod
    def scores(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """A score for every unit of every failure, (m, layers, N_m); higher is kept first."""
