"""Training the hypernetwork in either form of Algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.core.devices import exact_float32, move, set_products
from benchmark.core.errors import UserError
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from benchmark.models.vit import edits_that_fit
from editors.methods.hypernetwork.bank import BankOptions, TargetBank, build, optimised_pairs
from editors.methods.hypernetwork.checkpoint import STORE, run_metadata
from editors.methods.hypernetwork.meta import (
    HypernetworkEpisodes,
    differentiable_twice,
    first_gradient,
    inner_loop,
    masked_divergence,
    outer_loss,
    prepare,
)
from editors.methods.hypernetwork.network import Hypernetwork, HypernetworkShape, new_network
from editors.methods.hypernetwork.pseudo import PseudoSamples
from editors.methods.hypernetwork.recipe import HypernetworkRecipe
from editors.training.curves import Panel
from editors.training.loop import TrainingLoop, step_down
from editors.training.views import generator

HELD_OUT = range(10**9, 10**9 + 32)  # pseudo-samples no run trains on: the training curves are theirs
PANELS = (  # as in the paper's Fig. H, and the loss
    Panel({"kl": "KL on held-out pseudo-samples"}),
    Panel({"sparsity": "mask sparsity"}, rate=True),
    Panel({"loss": "training loss", "held_out_loss": "held-out loss"}),
)

BatchLoss = Callable[[int], Callable[[], Tensor]]  # from an iteration to the loss of its batch, to be called anew


def fit_loss(scores: Tensor, targets: Tensor, recipe: HypernetworkRecipe) -> Tensor:
    """Distance of the network's masks from their targets, mean over all positions (eq. 12); both are scores m.

    ``bce`` is the released code's; ``kl`` is KL(m^, m~) between Bernoulli variables, as the paper writes it.
    """
    least, most = recipe.clamp_fit, 1 - recipe.clamp_fit
    predicted = (recipe.score_slope * scores).sigmoid().clamp(least, most)
    target = (recipe.score_slope * targets).sigmoid()
    if recipe.fit_loss == "bce":
        return -0.1 * (target * predicted.log() + (1 - target) * (1 - predicted).log()).mean()
    target = target.clamp(least, most)
    inside, outside = (predicted / target).log(), ((1 - predicted) / (1 - target)).log()
    return (predicted * inside + (1 - predicted) * outside).mean()


def learning_rate(recipe: HypernetworkRecipe, iteration: int) -> float:
    """At this iteration: constant, or half a cosine down to zero."""
    if recipe.cosine_over is None:
        return recipe.lr
    return recipe.lr * (1 + math.cos(math.pi * min(1, iteration / recipe.cosine_over))) / 2


def from_bank(network: Hypernetwork, bank: TargetBank, recipe: HypernetworkRecipe, seed: int) -> BatchLoss:
    """The decoupled form (line 21): batches of the bank, each epoch in an order of its own.

    Raises `UserError` for a bank smaller than a batch.
    """
    if len(bank) < recipe.batch_size:
        raise UserError(f"--bank-size {len(bank)} is less than one batch of {recipe.batch_size}")
    device, a_pass = network.tokens.device, len(bank) // recipe.batch_size

    def batch_loss(iteration: int) -> Callable[[], Tensor]:
        epoch, place = divmod(iteration, a_pass)
        order = torch.randperm(len(bank), generator=generator(seed, "bank", epoch))
        rows = order[recipe.batch_size * place : recipe.batch_size * (place + 1)]
        features, targets = bank.features[rows].to(device), bank.targets[rows].to(device).float()
        return lambda: fit_loss(network(features), targets, recipe)

    return batch_loss


def end_to_end(network: Hypernetwork, samples: PseudoSamples) -> BatchLoss:
    """The standard form (line 11): the network's output is the mask, and the outer gradient goes to the network."""
    model, recipe = samples.base.module, samples.recipe

    def batch_loss(iteration: int) -> Callable[[], Tensor]:
        numbers = range(recipe.batch_size * iteration, recipe.batch_size * (iteration + 1))
        episodes = prepare(model, *samples.batch(numbers))
        return lambda: standard_loss(model, network, episodes, recipe)

    return batch_loss


def standard_loss(
    model: Any, network: Hypernetwork, episodes: HypernetworkEpisodes, recipe: HypernetworkRecipe
) -> Tensor:
    """Mean over the episodes of KL at phi_T plus the sparsity penalty, differentiable in the network."""
    mask = (recipe.mask_slope * network(episodes.features)).sigmoid()
    with differentiable_twice(recipe):
        change = inner_loop(model, episodes, mask, recipe, first_gradient(model, episodes, recipe))
        kl, penalty = outer_loss(model, episodes, mask, change, recipe)
    return (kl + penalty).mean()


@exact_float32()  # but for matrix products, where the recipe says tf32
def train(
    base: BaseModel,
    source: ImageSource,
    recipe: HypernetworkRecipe,
    bank: BankOptions,
    out: Path,
    seed: int = 0,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> Hypernetwork:
    """Train a network and write it to `out`; the decoupled form's bank of targets is built first, or read.

    Raises `UserError` for a bank and for a state beside `out` that were made with other settings, and for a loss that
    is not finite; the checkpoint before stays whole.
    """
    set_products(recipe.precision)
    samples, targets = PseudoSamples(base, source, recipe, bank.bank_seed), None
    if recipe.form == "decoupled":
        size = recipe.iterations * recipe.batch_size if bank.bank_size is None else bank.bank_size
        targets = build(bank.bank or out.with_suffix(".bank"), samples, size, progress)
    bank_metadata = {"size": 0 if targets is None else len(targets), "seed": bank.bank_seed}
    metadata = run_metadata(base, recipe, seed, source.signature, bank_metadata)
    return fit_network(samples, targets, out, seed, metadata, checkpoint_every, progress)


def fit_network(
    samples: PseudoSamples,
    bank: TargetBank | None,
    out: Path,
    seed: int,
    metadata: dict[str, str],
    checkpoint_every: int = 500,
    progress: bool = True,
) -> Hypernetwork:
    """Train a network on pseudo-samples or, in the decoupled form, on a bank of their targets; see `train`."""
    recipe = samples.recipe
    network = new_network(HypernetworkShape.of(samples.base.module, recipe), seed)
    move(network, samples.base.device)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=recipe.lr)
    batch_loss = end_to_end(network, samples) if bank is None else from_bank(network, bank, recipe, seed)
    steps = 1 if bank is None else recipe.steps_a_batch
    TrainingLoop(
        network,
        optimizer,
        step=lambda iteration: _steps(optimizer, batch_loss(iteration), steps, recipe, iteration),
        measure=_held_out(samples, network),
        panels=PANELS,
        iterations=recipe.iterations,
        metadata=metadata,
        store=STORE,
    ).run(out, checkpoint_every, progress)
    return network


def _steps(
    optimizer: torch.optim.Optimizer,
    loss_now: Callable[[], Tensor],
    steps: int,
    recipe: HypernetworkRecipe,
    iteration: int,
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, iteration)
    advice = f"--lr ({recipe.lr}) or --inner-lr ({recipe.inner_lr})"
    for _ in range(steps):
        loss = step_down(optimizer, loss_now(), iteration, advice)
    return loss


def _held_out(samples: PseudoSamples, network: Hypernetwork) -> Callable[[], dict[str, float]]:
    """A measure on pseudo-samples that no run trains on: KL and sparsity under the network's masks."""
    model, recipe = samples.base.module, samples.recipe
    if recipe.form == "decoupled":
        episodes, targets, _ = optimised_pairs(samples, HELD_OUT)
    else:
        episodes, targets = prepare(model, *samples.batch(HELD_OUT)), None
    step = edits_that_fit(model, samples.base.device)

    @torch.no_grad()
    def measure() -> dict[str, float]:
        scores = network(episodes.features.float())
        mask = (recipe.slope * scores).sigmoid().to(episodes.tokens.dtype)
        parts = [slice(start, start + step) for start in range(0, len(mask), step)]
        kl = torch.cat([masked_divergence(model, episodes.rows(part), mask[part], recipe) for part in parts])
        columns = {"kl": kl.mean().item(), "sparsity": 1 - mask.mean().item()}
        if targets is not None:
            columns["held_out_loss"] = fit_loss(scores, targets.float(), recipe).item()
        return columns

    return measure
