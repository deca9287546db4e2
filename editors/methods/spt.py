"""`spt`: masked fine-tuning of the units to which the loss is most sensitive.

Source: He et al. 2023, "Sensitivity-Aware Visual Parameter-Efficient Fine-Tuning", section 3.2: how much the loss
falls if one weight w takes a gradient step is, to first order, g * (epsilon * g), so its sensitivity is g^2, the
step size being the same for all. They add g^2 up over batches of a training set and tune single weights or whole
matrices; the paper (5.2) and SPEC 5 use it on the editing sample alone and over structured units.

Where both are silent: a unit's sensitivity is the sum over its weights, which is the first-order fall of the loss
if the unit alone takes the step; with n editing samples g is the gradient of their mean loss, the one that the edit
goes down.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.models.vit import Cut, edits_that_fit, ffn_cut, ffn_matrices, forward_prefix, forward_tail, unit_sums
from editors.core.registry import register_editor
from editors.methods.masked import MaskedFineTune


def sensitivities(model: nn.Module, tokens: Tensor, labels: Tensor, cut: Cut) -> Tensor:
    """Sum over each unit of the squared gradient of the cross-entropy, (m, layers, N_m), in nats^2 per weight^2.

    `tokens` (m, n, T, N) are the n samples of m failures at `cut`, `labels` (m, n) their right classes. Each failure
    has its own copy of the weights, so that one backward pass gives each its own gradient.
    """
    base = {name: model.get_parameter(name).detach() for name in ffn_matrices(model)}
    weights = {name: weight.expand(len(tokens), *weight.shape).requires_grad_() for name, weight in base.items()}
    logits = forward_tail(model, tokens, cut, weights)
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).mean(1)
    gradients = torch.autograd.grad(losses.sum(), list(weights.values()))
    return unit_sums({name: gradient.square() for name, gradient in zip(weights, gradients, strict=True)})


@register_editor("spt")
class SPT(MaskedFineTune):
    """Masked fine-tuning of the most sensitive units, scored by one backward pass through the unedited model."""

    def scores(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Sensitivities (m, layers, N_m); the seeds are not used, nothing here is random."""
        cut = ffn_cut(model, ffn_matrices(model))
        size = edits_that_fit(model, images.device)
        scored = []
        for batch_images, batch_labels in zip(images.split(size), labels.split(size), strict=True):
            with torch.no_grad():
                tokens = forward_prefix(model, batch_images.flatten(0, 1), cut).unflatten(0, batch_labels.shape)
            scored.append(sensitivities(model, tokens, batch_labels, cut))
        return torch.cat(scored)
