"""The gradient of an editing sample in factors: for each FC layer its inputs and the gradients at its outputs.

The gradient of a loss with respect to a matrix W is the sum over tokens of outer(d_t, x_t), x_t the input of the
layer and d_t the gradient of the loss at its output (MEND, section 3.1). MEND changes the factors, never the product.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.models.vit import Cut, Model, Overrides, Taps, forward_tail


@dataclass(frozen=True)
class MENDFactors:
    """The result of one forward and backward pass over m failures of n samples each."""

    logits: Tensor
    """Logits, (m, n, classes)."""
    loss: Tensor
    """Cross-entropy of each sample, (m, n)."""
    pairs: Taps
    """(x, d) by matrix name: the layer's inputs (m, n, T, width in), and the gradient of the sample's own loss at its
    outputs (m, n, T, width out). T is 1 in the last block, where [cls] alone reaches the head."""


def factors(model: Model, tokens: Tensor, labels: Tensor, cut: Cut, overrides: Overrides) -> MENDFactors:
    """MENDFactors of every FFN behind `cut` under `overrides`, from tokens (m, n, T, N) there and labels (m, n)."""
    taps: Taps = {}
    with torch.enable_grad():
        logits = forward_tail(model, tokens.detach().requires_grad_(), cut, overrides, taps)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        outputs = [outputs for _, outputs in taps.values()]
        gradients = torch.autograd.grad(loss.sum(), outputs)
    pairs = {name: (x.detach(), d) for (name, (x, _)), d in zip(taps.items(), gradients, strict=True)}
    return MENDFactors(logits.detach(), loss.detach(), pairs)
