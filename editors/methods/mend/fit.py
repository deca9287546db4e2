"""Training of MEND's editor network: one edit of each sample, judged on another view of it and on unrelated images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.devices import exact_float32, in_float64, move
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from benchmark.models.vit import edits_that_fit, forward_tail, last_ffn_matrices
from editors.methods.mend.checkpoint import STORE, run_metadata
from editors.methods.mend.factors import MENDFactors, factors
from editors.methods.mend.network import EditorNetwork, MENDShape, new_network, stepped
from editors.methods.mend.recipe import MENDRecipe
from editors.methods.mend.samples import EditingSamples, MENDEpisodes
from editors.training.curves import Panel
from editors.training.loop import TrainingLoop, step_down
from editors.training.losses import divergence

HELD_OUT = range(10**9, 10**9 + 64)  # samples no run trains on: the training curves are theirs
PANELS = (
    Panel({"edit_loss": "cross-entropy of the other view"}),
    Panel({"locality_loss": "KL on unrelated images"}),
    Panel({"flipped": "edited image has its class", "carried": "other view has it", "kept": "others as before"}, True),
    Panel({"loss": "training loss", "held_out_loss": "held-out loss"}),
)


@dataclass(frozen=True)
class MENDEffect:
    """The effect of m edits."""

    weights: dict[str, Tensor]
    """The edited matrices by name, (m, out, in)."""
    other: Tensor
    """Logits of the other view, (m, classes)."""
    unrelated: Tensor
    """Logits of the unrelated images, (m, locality, classes)."""


def apply_edit(
    model: Any, network: EditorNetwork, samples: EditingSamples, episodes: MENDEpisodes, gradient: MENDFactors
) -> MENDEffect:
    """Edit once, and see the images that the edit is judged on; differentiable in the network (MEND, algorithm 2)."""
    base = {name: model.get_parameter(name) for name in last_ffn_matrices(model)}
    weights = stepped(base, network(gradient.pairs))
    logits = forward_tail(model, episodes.eval_tokens, samples.cut, weights)
    return MENDEffect(weights, logits[:, 0], logits[:, 1:])


def losses(effect: MENDEffect, episodes: MENDEpisodes) -> tuple[Tensor, Tensor]:
    """L_e, the cross-entropy of the other view, and L_loc, the mean KL on the unrelated images, each (m,)."""
    edit = F.cross_entropy(effect.other, episodes.targets[:, 0], reduction="none")
    return edit, divergence(effect.unrelated, episodes.target_logits).mean(1)


def weighed(edit: Tensor, locality: Tensor, recipe: MENDRecipe) -> Tensor:
    """The loss, a mean over samples: c_edit L_e + L_loc (MEND, section 3.2)."""
    return (recipe.edit_weight * edit + recipe.locality_weight * locality).mean()


@exact_float32()
def train(
    base: BaseModel,
    source: ImageSource,
    recipe: MENDRecipe,
    out: Path,
    seed: int = 0,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> EditorNetwork:
    """Train a network and write it to `out`, as `editors.training.loop` does.

    Raises `UserError` for too few images, for a state of other settings beside `out`, and for a loss that is not
    finite; the checkpoint before stays whole.
    """
    samples = EditingSamples(base, source, recipe, seed)
    network = new_network(MENDShape.of(base.module, recipe), seed)
    move(network, base.device)
    steps = network.step_sizes
    others = [parameter for parameter in network.parameters() if parameter is not steps]
    optimizer = torch.optim.Adam([{"params": others, "lr": recipe.lr}, {"params": [steps], "lr": recipe.step_lr}])
    optimizer.register_step_pre_hook(lambda *_: _clip(network, recipe.max_norm))
    TrainingLoop(
        network,
        optimizer,
        step=lambda iteration: _step(network, optimizer, samples, iteration),
        measure=_held_out(network, samples),
        panels=PANELS,
        iterations=recipe.iterations,
        metadata=run_metadata(base, recipe, seed, source.signature),
        store=STORE,
    ).run(out, checkpoint_every, progress)
    return network


def _step(network: EditorNetwork, optimizer: torch.optim.Optimizer, samples: EditingSamples, iteration: int) -> float:
    recipe, model = samples.recipe, samples.base.module
    episodes = samples.batch(range(recipe.batch_size * iteration, recipe.batch_size * (iteration + 1)))
    gradient = factors(model, episodes.edited, episodes.targets, samples.cut, {})
    network.observe(gradient.pairs)
    loss = weighed(*losses(apply_edit(model, network, samples, episodes, gradient), episodes), recipe)
    return step_down(optimizer, loss, iteration, f"--lr ({recipe.lr}) or --step-lr ({recipe.step_lr})")


def _clip(network: EditorNetwork, most: float) -> None:
    torch.nn.utils.clip_grad_norm_(network.parameters(), most)


def _held_out(network: EditorNetwork, samples: EditingSamples) -> Callable[[], dict[str, float]]:
    """A measure on samples that no run trains on: both losses, and how often an edit does what it should."""
    model, recipe, episodes = samples.base.module, samples.recipe, samples.batch(HELD_OUT)
    at_once = edits_that_fit(model, samples.base.device)
    batches = [episodes.rows(slice(start, start + at_once)) for start in range(0, len(episodes), at_once)]

    @torch.no_grad()
    def measure() -> dict[str, float]:
        rows = []
        for batch in batches:
            gradient = factors(model, batch.edited, batch.targets, samples.cut, {})
            effect = apply_edit(model, network, samples, batch, gradient)
            own = forward_tail(model, batch.edited, samples.cut, effect.weights)
            unchanged = in_float64(effect.unrelated.argmax(-1) == batch.target_logits.argmax(-1)).mean(1)
            hits = [logits.argmax(-1) == batch.targets[:, 0] for logits in (own[:, 0], effect.other)]
            rows.append(torch.stack([*map(in_float64, (*losses(effect, batch), *hits)), unchanged]))
        edit, locality, flipped, carried, unchanged = torch.cat(rows, dim=1)
        return {
            "edit_loss": edit.mean().item(),
            "locality_loss": locality.mean().item(),
            "held_out_loss": weighed(edit, locality, recipe).item(),
            "flipped": flipped.mean().item(),
            "carried": carried.mean().item(),
            "kept": unchanged.mean().item(),
        }

    return measure
