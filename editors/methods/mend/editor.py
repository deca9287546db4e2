"""`mend`: a trained network turns the gradient of an editing sample into the edit (paper, 4.1 and B.2; SPEC 5).

Source: Mitchell et al., "Fast Model Editing at Scale", 2022, algorithm 1. An edit ends as soon as its samples are
right, without the cross-entropy below 0.01 of the shared stop rule: the network learned to do all in one step, and to
keep what is unrelated by then. On the mini's dev groups that rule went on for tens of steps after success, and lost
more locality than it gained generalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.core.ranges import Count, Positive
from benchmark.models.checks import check_inputs
from benchmark.models.vit import ffn_cut, forward_prefix, last_ffn_matrices
from editors.core.base import knob
from editors.core.descent import MAX_STEPS
from editors.core.edit import Edit
from editors.core.registry import register_editor
from editors.methods.mend.checkpoint import STORE, load
from editors.methods.mend.factors import factors
from editors.methods.mend.network import EditorNetwork, stepped
from editors.methods.mend.recipe import MENDRecipe
from editors.training.checkpoint import Checkpoint
from editors.training.pretrained import PretrainedEditor
from editors.training.repeat import Attempt, Weights, until_right


@dataclass(frozen=True)
class MENDConfig:
    """Settings of `mend`.

    step_scale: times the learned step sizes; larger edits generalise further and keep less.
    max_steps: the edit is applied again, with the gradient at the weights as they are by then, until the samples are
        right, as many times at most; 1 is MEND's own, which edits once. Small scales need it to succeed.
    checkpoint: a trained editor network; by default the one that comes with the project for this base.
    """

    step_scale: Positive = knob(1.0, sweep=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0))
    max_steps: Count = MAX_STEPS
    checkpoint: Path | None = None


@register_editor("mend")
class MEND(PretrainedEditor):
    """The last three FFNs, moved by what the editor network makes of the gradient."""

    Config = MENDConfig
    store = STORE

    def load(self, path: Path, base_weights_sha256: str) -> Checkpoint[EditorNetwork, MENDRecipe]:
        """See `editors.methods.mend.checkpoint.load`."""
        return load(path, base_weights_sha256)

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """All failures at once, each until its own stop; nothing here is random, so the seeds are not used.

        Raises `UserError` for images or labels this base does not take.
        """
        check_inputs(model, images.flatten(0, 1), labels.flatten())
        network = self.checkpoint(model).network
        names = last_ffn_matrices(model)
        cut = ffn_cut(model, names)
        weights = {name: model.get_parameter(name).expand(len(images), -1, -1) for name in names}
        with torch.no_grad():
            tokens = forward_prefix(model, images.flatten(0, 1), cut).unflatten(0, images.shape[:2])

            def attempt(weights: Weights, rows: Tensor) -> Attempt:
                gradient = factors(model, tokens[rows], labels[rows], cut, weights)
                return Attempt(
                    gradient.logits,
                    gradient.loss,
                    change=lambda: stepped(weights, network(gradient.pairs), self.config.step_scale),
                )

            return until_right(labels, weights, attempt, self.config.max_steps)
