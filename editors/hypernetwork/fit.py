"""Training the hypernetwork in either form of Algorithm 1, with checkpoints a killed run goes on from, bit by bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from benchmark.errors import UserError
from benchmark.files import replacing
from editors.hypernetwork import checkpoint, curves
from editors.hypernetwork.bank import Bank, pairs
from editors.hypernetwork.meta import (
    Episodes,
    differentiable_twice,
    first_gradient,
    inner_loop,
    masked_divergence,
    outer_loss,
    prepare,
)
from editors.hypernetwork.network import Hypernetwork, Shape, new_network
from editors.hypernetwork.pseudo import PseudoSamples, generator
from editors.hypernetwork.recipe import Recipe
from editors.vit import edits_at_once

HELD_OUT = range(10**9, 10**9 + 32)  # pseudo-samples no run trains on: the training curves are theirs
POINTS = 100  # on a training curve

BatchLoss = Callable[[int], Callable[[], Tensor]]  # from an iteration to the loss of its batch, to be called anew


@dataclass
class Progress:
    """What a run needs to go on as if it had never stopped."""

    network: Hypernetwork
    optimizer: torch.optim.Optimizer
    iteration: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


def fit_loss(scores: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """How far the network's masks are from their targets, mean over all positions (eq. 12); both are scores m.

    ``bce`` is the released code's; ``kl`` is KL(m^, m~) between Bernoulli variables, as the paper writes it.
    """
    least, most = recipe.clamp_fit, 1 - recipe.clamp_fit
    predicted = (recipe.score_slope * scores).sigmoid().clamp(least, most)
    wanted = (recipe.score_slope * targets).sigmoid()
    if recipe.fit_loss == "bce":
        return -0.1 * (wanted * predicted.log() + (1 - wanted) * (1 - predicted).log()).mean()
    wanted = wanted.clamp(least, most)
    inside, outside = (predicted / wanted).log(), ((1 - predicted) / (1 - wanted)).log()
    return (predicted * inside + (1 - predicted) * outside).mean()


def learning_rate(recipe: Recipe, iteration: int) -> float:
    """At this iteration: constant, or half a cosine down to zero."""
    if recipe.cosine_over is None:
        return recipe.lr
    return recipe.lr * (1 + math.cos(math.pi * min(1, iteration / recipe.cosine_over))) / 2


def from_bank(network: Hypernetwork, bank: Bank, recipe: Recipe, seed: int) -> BatchLoss:
    """The decoupled form (line 21): batches of the bank, each epoch in an order of its own.

    Raises `UserError` for a bank smaller than a batch.
    """
    if len(bank) < recipe.batch:
        raise UserError(f"--bank-size {len(bank)} is less than one batch of {recipe.batch}")
    device, a_pass = network.tokens.device, len(bank) // recipe.batch

    def batch_loss(iteration: int) -> Callable[[], Tensor]:
        epoch, place = divmod(iteration, a_pass)
        order = torch.randperm(len(bank), generator=generator(seed, "bank", epoch))
        rows = order[recipe.batch * place : recipe.batch * (place + 1)]
        features, targets = bank.features[rows].to(device), bank.targets[rows].to(device).float()
        return lambda: fit_loss(network(features), targets, recipe)

    return batch_loss


def end_to_end(network: Hypernetwork, samples: PseudoSamples) -> BatchLoss:
    """The standard form (line 11): the network's output is the mask, and the outer gradient goes to the network."""
    model, recipe = samples.base.module, samples.recipe

    def batch_loss(iteration: int) -> Callable[[], Tensor]:
        numbers = range(recipe.batch * iteration, recipe.batch * (iteration + 1))
        episodes = prepare(model, *samples.batch(numbers))
        return lambda: standard_loss(model, network, episodes, recipe)

    return batch_loss


def standard_loss(model: Any, network: Hypernetwork, episodes: Episodes, recipe: Recipe) -> Tensor:
    """Mean over the episodes of KL at phi_T plus the sparsity penalty, differentiable in the network."""
    mask = (recipe.mask_slope * network(episodes.features)).sigmoid()
    with differentiable_twice(recipe):
        change = inner_loop(model, episodes, mask, recipe, first_gradient(model, episodes, recipe))
        kl, penalty = outer_loss(model, episodes, mask, change, recipe)
    return (kl + penalty).mean()


def train(
    samples: PseudoSamples,
    bank: Bank | None,
    out: Path,
    seed: int,
    facts: dict[str, str],
    checkpoint_every: int = 500,
    progress: bool = True,
) -> Hypernetwork:
    """Train a network and write it to `out`; its curves (csv, png) and its state go beside it.

    `bank` is for the decoupled form. A state found beside `out` is gone on from: same data order, same
    optimiser, same curve. Raises `UserError` if it was made with other settings, or for a loss that is not
    finite; the checkpoint before stays whole.
    """
    recipe, device = samples.recipe, samples.base.device
    network = new_network(Shape.of(samples.base.module, recipe), seed).to(device)
    state = Progress(network, torch.optim.RMSprop(network.parameters(), lr=recipe.lr))
    _restore(state, state_path(out), facts)
    batch_loss = end_to_end(network, samples) if bank is None else from_bank(network, bank, recipe, seed)
    measure = _held_out(samples, network)
    steps = 1 if bank is None else recipe.steps_a_batch
    every = max(1, recipe.iterations // POINTS)
    with tqdm(total=recipe.iterations, initial=state.iteration, unit="it", desc=out.stem, disable=not progress) as bar:
        while state.iteration < recipe.iterations:
            loss = _steps(state, batch_loss(state.iteration), steps, recipe)
            state.iteration += 1
            bar.update()
            if state.iteration % every == 0 or state.iteration in (1, recipe.iterations):
                state.curve.append({"iteration": state.iteration, "loss": loss, **measure()})
                bar.set_postfix(
                    {name: f"{value:.3f}" for name, value in state.curve[-1].items() if name != "iteration"}
                )
            if state.iteration % checkpoint_every == 0 or state.iteration == recipe.iterations:
                _keep(state, out, facts)
    return network


def state_path(out: Path) -> Path:
    """Where a run to `out` keeps what it needs to go on."""
    return out.with_suffix(".state.pt")


def _steps(state: Progress, loss_now: Callable[[], Tensor], steps: int, recipe: Recipe) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(recipe, state.iteration)
    for _ in range(steps):
        loss = loss_now()
        if not loss.isfinite():
            raise UserError(
                f"the loss is not finite at iteration {state.iteration}; lower --lr ({recipe.lr}) "
                f"or --inner-lr ({recipe.inner_lr}). The last checkpoint is as it was"
            )
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
    return loss.item()


def _held_out(samples: PseudoSamples, network: Hypernetwork) -> Callable[[], dict[str, float]]:
    """What is measured on pseudo-samples that no run trains on: KL and sparsity under the network's masks."""
    model, recipe = samples.base.module, samples.recipe
    if recipe.form == "decoupled":
        episodes, targets, _ = pairs(samples, HELD_OUT)
    else:
        episodes, targets = prepare(model, *samples.batch(HELD_OUT)), None
    step = edits_at_once(model, samples.base.device)

    @torch.no_grad()
    def measure() -> dict[str, float]:
        scores = network(episodes.features.float())
        mask = (recipe.slope * scores).sigmoid().to(episodes.tokens.dtype)
        parts = [slice(start, start + step) for start in range(0, len(mask), step)]
        kl = torch.cat([masked_divergence(model, episodes.rows(part), mask[part], recipe) for part in parts])
        found = {"kl": kl.mean().item(), "sparsity": 1 - mask.mean().item()}
        if targets is not None:
            found["held_out_loss"] = fit_loss(scores, targets.float(), recipe).item()
        return found

    return measure


def _keep(state: Progress, out: Path, facts: dict[str, str]) -> None:
    """Write checkpoint, curves and state; the state last, so that it never runs ahead of the checkpoint."""
    checkpoint.save(out, state.network, facts, state.iteration)
    curves.write(state.curve, out)
    with replacing(state_path(out)) as temporary:
        torch.save(
            {
                "facts": facts,
                "iteration": state.iteration,
                "curve": state.curve,
                "network": state.network.state_dict(),
                "optimizer": state.optimizer.state_dict(),
            },
            temporary,
        )


def _restore(state: Progress, path: Path, facts: dict[str, str]) -> None:
    if not path.is_file():
        return
    try:
        kept = torch.load(path, map_location=state.network.tokens.device, weights_only=True)
    except Exception as error:  # a file that is no state at all fails in many ways
        raise UserError(f"{path} cannot be read ({type(error).__name__}); delete it to start anew") from error
    found, wanted = ({**f, **json.loads(f["recipe"]), "recipe": ""} for f in (kept["facts"], facts))
    checkpoint.refuse_other_settings(path, found, wanted, "resume with those, or give another --out")
    state.network.load_state_dict(kept["network"])
    state.optimizer.load_state_dict(kept["optimizer"])
    state.iteration, state.curve = kept["iteration"], kept["curve"]
