"""`ke`: KnowledgeEditor. A trained network turns the gradient of a failure into an edit of the last three FFNs.

Source: De Cao, Aziz and Titov, "Editing Factual Knowledge in Language Models" (2021), sections 3 and 4, and the code
released with it; for Vision Transformers, paper 5.1 and B.2, and SPEC 5.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.ranges import Count, Positive
from benchmark.models.checks import check_inputs
from benchmark.models.vit import Model, forward_prefix, forward_tail, last_ffn_matrices
from editors.core.base import knob
from editors.core.descent import MAX_STEPS
from editors.core.edit import Edit
from editors.core.registry import register_editor
from editors.methods.ke.checkpoint import STORE, load
from editors.methods.ke.network import KEFactors, KnowledgeNetwork, conditions, cut_of, features_at
from editors.methods.ke.recipe import KERecipe
from editors.training.checkpoint import Checkpoint
from editors.training.pretrained import PretrainedEditor
from editors.training.repeat import Attempt, Weights, until_right


@dataclass(frozen=True)
class KnowledgeEditorConfig:
    """Settings of `ke`.

    scale: s, times which each change is applied; 1 is what the network was trained for.
    max_steps: applications at most; the article gives no bound, so the paper's for all editors holds (5.1).
    checkpoint: a trained network; by default the one that comes with the project for this base.
    """

    scale: Positive = knob(1.0, sweep=(0.1, 0.25, 0.5, 1.0, 2.0, 4.0))
    max_steps: Count = MAX_STEPS
    checkpoint: Path | None = None


@register_editor("ke")
class KnowledgeEditor(PretrainedEditor):
    """Applies the network's change until the prediction is right.

    The article's loop ends when the prediction flips; that rule is kept, rather than the gradient editors' bound on
    the cross-entropy: each application adds the whole learned change, as large as the first. The network's
    condition stays that of the unedited base, as in the article's code; the gradient is taken anew. Of n editing
    samples all must be right; the condition and the gradient are means over them.
    """

    Config = KnowledgeEditorConfig
    store = STORE

    def load(self, path: Path, base_weights_sha256: str) -> Checkpoint[KnowledgeNetwork, KERecipe]:
        """See `editors.methods.ke.checkpoint.load`."""
        return load(path, base_weights_sha256)

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """All failures at once; nothing here is random, so the seeds are not used.

        Raises `UserError` for images or labels this base does not take, and without a checkpoint for it.
        """
        check_inputs(model, images.flatten(0, 1), labels.flatten())
        network = self.checkpoint(model).network
        if images.dtype != network.alpha.dtype:  # the network that `state_dict` gives stays as it was loaded
            network = copy.deepcopy(network).to(images.dtype)
        with torch.no_grad():
            tokens = forward_prefix(model, images.flatten(0, 1), cut_of(model))
            condition = _conditions(model, tokens, labels.flatten()).unflatten(0, images.shape[:2]).mean(1)
            factors = [matrix.scaled(self.config.scale) for matrix in network(condition)]
        named = dict(zip(last_ffn_matrices(model), factors, strict=True))
        samples = tokens.unflatten(0, images.shape[:2])
        weights = {name: model.get_parameter(name).expand(len(labels), -1, -1) for name in named}
        return until_right(labels, weights, partial(_attempt, model, samples, labels, named), self.config.max_steps)


def _conditions(model: Model, tokens: Tensor, labels: Tensor) -> Tensor:
    """The network's input for each sample, (k, 3 N), from its tokens at the cut (k, T, N) and its label (k,)."""
    features, classifier = features_at(model, tokens, cut_of(model)), model.get_classifier()
    return conditions(features, classifier.weight, classifier(features).argmax(-1), labels)


def _attempt(
    model: Model, tokens: Tensor, labels: Tensor, factors: Mapping[str, KEFactors], weights: Weights, rows: Tensor
) -> Attempt:
    """The failures `rows` of tokens (m, n, T, N) and labels (m, n) under their weights; the gradient is taken anew."""
    leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    with torch.enable_grad():
        logits = forward_tail(model, tokens[rows], cut_of(model), leaves)
        loss = F.cross_entropy(logits.mT, labels[rows], reduction="none")

    def change() -> Weights:
        gradients = torch.autograd.grad(loss.mean(1).sum(), list(leaves.values()))
        return {
            name: factors[name][rows].change(weight, gradient)
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }

    return Attempt(logits.detach(), loss.detach(), change)
