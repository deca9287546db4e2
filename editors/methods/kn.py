"""`kn`: masked fine-tuning of the knowledge neurons, or, as an option, the edit of their values as first published.

Source: Dai et al. 2022, "Knowledge Neurons in Pretrained Transformers", section 3.2 (attribution) and 5 (updating
facts), and their released code; which parts are used here: paper 5.1, 5.2 and SPEC 5. A neuron of an FFN has one
activation a, so it has one attribution: integrated gradients of the label's probability over a, from a = 0.

Where the sources are silent:
- A neuron is two units, row i of fc1 (its key) and column i of fc2 (its value). Both have its attribution, so both
  move together; if an odd number of units is kept, the last neuron moves by its value alone, which is what the
  published edit changes.
- The token is [cls], in place of their [MASK]: it is where the prediction is read.
- Several editing samples of a failure: the mean of their attributions, and of their value edits.
- Their refining over many prompts of one fact has no counterpart for a single image and is left out, as is their
  threshold: the sparsity decides how many neurons there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.ranges import NotNegative
from benchmark.models.vit import (
    Cut,
    edited_blocks,
    ffn_matrices,
    forward,
    forward_prefix,
    forward_tail,
    hidden_activations,
    hidden_width,
    tokens_after_ffn,
)
from editors.core.edit import Edit, FailedEdit, WeightEdit
from editors.core.masks import keep_top
from editors.core.registry import register_editor
from editors.methods.masked import MaskedConfig, MaskedFineTune

POINTS = 20  # of the Riemann sum (Dai et al., 3.2): i / 20 for i = 0..19, as in the released code and SPEC 5
VALUES_AT_ONCE = 2**25  # activations of one FFN held at once, which bounds memory: a few gigabytes for a ViT-B/16


@dataclass(frozen=True)
class KnowledgeNeuronsConfig(MaskedConfig):
    """Settings of `kn`.

    original: no gradient steps; the values of the neurons are overwritten as in Dai et al. (section 5).
    l1, l2: only with `original`: how much of the predicted class's classifier row is taken from each value, and how
        much of the label's is given to it, in units of the value's norm. 1 and 8 in the article, 1 and 1 in the code.
    """

    original: bool = False
    l1: NotNegative = 1.0
    l2: NotNegative = 8.0


def integrated_gradients(model: nn.Module, tokens: Tensor, labels: Tensor, block: int) -> Tensor:
    """Attribution of each label's probability to one FFN's activations at [cls], (k, N_m) (Dai et al., 3.2).

    a * mean over i of d p(label) / d a at (i / POINTS) a: the left Riemann sum of the integral from 0. Activations at
    other tokens and in the FFNs before stay as they are; everything behind is computed anew, as in the released code.

    Args:
        model: the frozen base.
        tokens: of k images, (k, T, N), at ``Cut(block, ffn=True)``.
        labels: right classes (k,), int64.
        block: whose FFN, from 0.
    """
    with torch.no_grad():
        hidden = hidden_activations(model, tokens, block)
        others = tokens_after_ffn(model, tokens, hidden, block)[:, 1:].expand(POINTS, -1, -1, -1)
    activation = hidden[:, 0]
    shares = torch.arange(POINTS, dtype=hidden.dtype, device=hidden.device) / POINTS
    scaled = (shares[:, None, None] * activation).requires_grad_()
    cls = tokens_after_ffn(model, tokens[:, :1], scaled[:, :, None], block)
    logits = forward_tail(model, torch.cat([cls, others], dim=2), Cut(block + 1), {})
    probability = logits.softmax(-1).gather(-1, labels.expand(POINTS, -1)[..., None])
    (gradient,) = torch.autograd.grad(probability.sum(), scaled)
    return activation * gradient.mean(0)


def attributions(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Attributions (k, 3, N_m) of k labels (k,) to the neurons of the edited FFNs, in probability.

    One FFN at a time is scaled, as in the released code. `images` (k, 3, H, W) are preprocessed.
    """
    scored = []
    for block in edited_blocks(model):
        cut = Cut(block, ffn=True)
        with torch.no_grad():
            tokens = forward_prefix(model, images, cut)
        size = max(1, VALUES_AT_ONCE // (POINTS * tokens.shape[1] * hidden_width(model)))
        chunks = zip(tokens.split(size), labels.split(size), strict=True)
        scored.append(torch.cat([integrated_gradients(model, *chunk, block) for chunk in chunks]))
    return torch.stack(scored, dim=1)


def unit_ranks(neurons: Tensor) -> Tensor:
    """Scores (m, 2 * FFNs, N_m) of units from attributions (m, FFNs, N_m) of neurons: minus their places.

    The best neuron's value has 0 and its key -1, the second's -2 and -3. Places, because the two units of a neuron
    would tie, and which of tied units `keep_top` keeps may depend on the device. Equal neurons: the first one first.
    """
    order = neurons.flatten(1).argsort(dim=1, descending=True, stable=True)
    place = order.argsort(dim=1).view(neurons.shape)
    return -torch.stack([2 * place + 1, 2 * place], dim=2).flatten(1, 2)


@register_editor("kn")
class KnowledgeNeurons(MaskedFineTune):
    """Masked fine-tuning of the neurons to which the label's probability is attributed most."""

    Config = KnowledgeNeuronsConfig

    def scores(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """The units' places by attribution (see `unit_ranks`), (m, layers, N_m); nothing is random."""
        neurons = attributions(model, images.flatten(0, 1), labels.flatten())
        return unit_ranks(neurons.unflatten(0, labels.shape).mean(1))

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """See `Editor.edit_many`."""
        if not self.config.original:
            return super().edit_many(model, images, labels, seeds)
        mask = keep_top(self.scores(model, images, labels, seeds), self.config.sparsity)[:, 1::2]
        return overwrite(model, images, labels, mask, self.config.l1, self.config.l2)


@torch.no_grad()
def overwrite(model: nn.Module, images: Tensor, labels: Tensor, mask: Tensor, l1: float, l2: float) -> list[Edit]:
    """The published edit of m failures: from the values of the neurons in `mask` to the label (Dai et al., section 5).

    Value v (a column of fc2) becomes v - l1 |v| / |e_old| * e_old + l2 |v| / |e_new| * e_new, with e_old and e_new the
    classifier's rows of the predicted class and of the label. The article scales by l1 and l2 alone; the factors
    |v| / |e|, of the values before the edit, are those of the released code.

    Args:
        model: the frozen base.
        images: (m, n, 3, H, W), preprocessed.
        labels: right classes (m, n), int64.
        mask: True for the neurons to change, boolean (m, FFNs, N_m).
        l1: share of the predicted class that is taken.
        l2: share of the label that is given.

    Returns:
        One edit a failure, with no steps; a failed one where the unedited model's logits are not finite.
    """
    logits = forward(model, images.flatten(0, 1), {}).unflatten(0, labels.shape)
    directions = F.normalize(model.get_parameter("head.weight"), dim=1)
    change = (l2 * directions[labels] - l1 * directions[logits.argmax(-1)]).mean(1)
    overrides = {}
    for ffn, name in enumerate(ffn_matrices(model)[1::2]):
        values = model.get_parameter(name)
        overrides[name] = values + change[:, :, None] * (values.norm(dim=0) * mask[:, ffn])[:, None]
    broken = (~logits.isfinite()).flatten(1).any(1).tolist()
    return [
        FailedEdit("the unedited model's logits were not finite")
        if failed
        else WeightEdit({name: weights[row] for name, weights in overrides.items()})
        for row, failed in enumerate(broken)
    ]
