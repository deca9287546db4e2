"""Training MEND's editor network: one edit of each sample, judged on another view of it and on unrelated images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.models.vit import edits_at_once, forward_tail, last_ffn_matrices
from editors.methods.mend.checkpoint import STORE
from editors.methods.mend.factors import Factors, factors
from editors.methods.mend.network import EditorNetwork, Shape, new_network, stepped
from editors.methods.mend.recipe import Recipe
from editors.methods.mend.samples import EditingSamples, Episodes
from editors.training.curves import Panel
from editors.training.loop import Training, step_down
from editors.training.losses import divergence

HELD_OUT = range(10**9, 10**9 + 64)  # samples no run trains on: the training curves are theirs
PANELS = (
    Panel({"edit_loss": "cross-entropy of the other view"}),
    Panel({"locality_loss": "KL on unrelated images"}),
    Panel({"flipped": "edited image has its class", "carried": "other view has it", "kept": "others as before"}, True),
    Panel({"loss": "training loss", "held_out_loss": "held-out loss"}),
)


@dataclass(frozen=True)
class Judgement:
    """What edits (m) did: logits of the other view (m, classes) and of the unrelated images (m, locality, classes)."""

    weights: dict[str, Tensor]
    other: Tensor
    unrelated: Tensor


def judge(model: Any, network: EditorNetwork, samples: EditingSamples, episodes: Episodes, found: Factors) -> Judgement:
    """Edit once and look at the images the edit is judged on; differentiable in the network (MEND, algorithm 2)."""
    base = {name: model.get_parameter(name) for name in last_ffn_matrices(model)}
    weights = stepped(base, network(found.pairs))
    logits = forward_tail(model, episodes.judged, samples.cut, weights)
    return Judgement(weights, logits[:, 0], logits[:, 1:])


def losses(judgement: Judgement, episodes: Episodes) -> tuple[Tensor, Tensor]:
    """L_e, the cross-entropy of the other view, and L_loc, the mean KL on the unrelated images, each (m,)."""
    edit = F.cross_entropy(judgement.other, episodes.wanted[:, 0], reduction="none")
    return edit, divergence(judgement.unrelated, episodes.before).mean(1)


def weighed(edit: Tensor, locality: Tensor, recipe: Recipe) -> Tensor:
    """The loss, a mean over samples: c_edit L_e + L_loc (MEND, section 3.2)."""
    return (recipe.edit_weight * edit + recipe.locality_weight * locality).mean()


def train(
    samples: EditingSamples, out: Path, seed: int, facts: dict[str, str], checkpoint_every: int, progress: bool = True
) -> EditorNetwork:
    """Train a network and write it to `out`, as `editors.training.loop` does.

    Raises `UserError` for a state of other settings beside `out`, and for a loss that is not finite; the
    checkpoint before stays whole.
    """
    recipe, base = samples.recipe, samples.base
    network = new_network(Shape.of(base.module, recipe), seed).to(base.device)
    steps = network.step_sizes
    others = [parameter for parameter in network.parameters() if parameter is not steps]
    optimizer = torch.optim.Adam([{"params": others, "lr": recipe.lr}, {"params": [steps], "lr": recipe.step_lr}])
    optimizer.register_step_pre_hook(lambda *_: _clip(network, recipe.clip))
    Training(
        network,
        optimizer,
        step=lambda iteration: _step(network, optimizer, samples, iteration),
        measure=_held_out(network, samples),
        panels=PANELS,
        iterations=recipe.iterations,
        facts=facts,
        store=STORE,
    ).run(out, checkpoint_every, progress)
    return network


def _step(network: EditorNetwork, optimizer: torch.optim.Optimizer, samples: EditingSamples, iteration: int) -> float:
    recipe, model = samples.recipe, samples.base.module
    episodes = samples.batch(range(recipe.batch * iteration, recipe.batch * (iteration + 1)))
    found = factors(model, episodes.edited, episodes.wanted, samples.cut, {})
    network.observe(found.pairs)
    loss = weighed(*losses(judge(model, network, samples, episodes, found), episodes), recipe)
    return step_down(optimizer, loss, iteration, f"--lr ({recipe.lr}) or --step-lr ({recipe.step_lr})")


def _clip(network: EditorNetwork, most: float) -> None:
    torch.nn.utils.clip_grad_norm_(network.parameters(), most)


def _held_out(network: EditorNetwork, samples: EditingSamples) -> Callable[[], dict[str, float]]:
    """What is measured on samples that no run trains on: both losses, and how often an edit does what it should."""
    model, recipe, episodes = samples.base.module, samples.recipe, samples.batch(HELD_OUT)
    at_once = edits_at_once(model, samples.base.device)
    parts = [episodes.rows(slice(start, start + at_once)) for start in range(0, len(episodes), at_once)]

    @torch.no_grad()
    def measure() -> dict[str, float]:
        rows = []
        for part in parts:
            found = factors(model, part.edited, part.wanted, samples.cut, {})
            judgement = judge(model, network, samples, part, found)
            own = forward_tail(model, part.edited, samples.cut, judgement.weights)
            kept = (judgement.unrelated.argmax(-1) == part.before.argmax(-1)).double().mean(1)
            hits = [logits.argmax(-1) == part.wanted[:, 0] for logits in (own[:, 0], judgement.other)]
            rows.append(torch.stack([*losses(judgement, part), *(hit.double() for hit in hits), kept]))
        edit, locality, flipped, carried, kept = torch.cat(rows, dim=1)
        return {
            "edit_loss": edit.mean().item(),
            "locality_loss": locality.mean().item(),
            "held_out_loss": weighed(edit, locality, recipe).item(),
            "flipped": flipped.mean().item(),
            "carried": carried.mean().item(),
            "kept": kept.mean().item(),
        }

    return measure
