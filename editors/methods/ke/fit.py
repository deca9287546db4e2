"""Training of KE's network: edits succeed as far as other predictions stay within a margin (article, section 4)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmark.core.devices import exact_float32, in_float64, move
from benchmark.core.errors import UserError
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from benchmark.models.vit import Model
from editors.methods.ke.checkpoint import STORE, run_metadata
from editors.methods.ke.loss import KEEpisodes, apply_edit, prepare
from editors.methods.ke.network import KEShape, KnowledgeNetwork, new_network
from editors.methods.ke.recipe import KERecipe
from editors.methods.ke.samples import Draws
from editors.training.curves import Panel
from editors.training.loop import TrainingLoop, step_down

PANELS = (
    Panel(
        {"success": "edited to the wanted class", "view": "so does another view", "locality": "other images kept"}, True
    ),
    Panel({"cross_entropy": "cross-entropy, held out", "kl": "KL on other images, held out"}),
    Panel({"loss": "training loss", "alpha": "multiplier alpha"}),
)


@exact_float32()
def train(
    base: BaseModel,
    source: ImageSource,
    recipe: KERecipe,
    out: Path,
    seed: int = 0,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> KnowledgeNetwork:
    """Train a network and write it to `out`, as `editors.training.loop` does.

    Raises `UserError` for too few images, for a state of other settings beside `out`, and for a loss that is not
    finite; the checkpoint before stays whole.
    """
    model: Model = base.module
    if recipe.top_k > model.num_classes:
        raise UserError(f"--top-k {recipe.top_k} is more than the {model.num_classes} classes of this base")
    draws = Draws(source, base.preprocessing, recipe, seed)
    held_out = prepare(model, draws.held_out())
    network = new_network(KEShape.of(model, recipe), seed)
    move(network, base.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr)

    def step(iteration: int) -> float:
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(iteration)
        return update(model, network, optimizer, prepare(model, draws.batch(iteration)), recipe, iteration)

    TrainingLoop(
        network,
        optimizer,
        step=step,
        measure=lambda: measure(model, network, held_out, recipe),
        panels=PANELS,
        iterations=recipe.iterations,
        metadata=run_metadata(base, recipe, seed, source.signature),
        store=STORE,
    ).run(out, checkpoint_every, progress)
    return network


def update(
    model: Model,
    network: KnowledgeNetwork,
    optimizer: torch.optim.Optimizer,
    episodes: KEEpisodes,
    recipe: KERecipe,
    iteration: int,
) -> float:
    """One step down in the network and one up in alpha, on CE + alpha (KL - margin), means over the episodes.

    Returns the loss before the step. Raises `UserError` if it is not finite.
    """
    rows = torch.arange(len(episodes), device=network.alpha.device)
    effect = apply_edit(model, network, episodes, rows, recipe.others)
    excess = effect.kl.mean() - recipe.kl_margin
    loss = effect.cross_entropy.mean() + network.alpha[0] * excess
    before = step_down(optimizer, loss, iteration, f"--lr ({recipe.lr})")
    network.alpha = ascended(network.alpha, excess.detach(), recipe.alpha_lr)
    return before


def ascended(alpha: Tensor, excess: Tensor, lr: float) -> Tensor:
    """The multiplier after a step of gradient ascent: its gradient is KL - margin; kept at 0 or above.

    Its code leaves this step to RMSProp; here it is plain, as SPEC has it (5).
    """
    return (alpha + lr * excess).clamp(min=0)


@torch.no_grad()
def measure(model: Model, network: KnowledgeNetwork, held_out: KEEpisodes, recipe: KERecipe) -> dict[str, float]:
    """Columns of the training curve, on images that no run trains on, one batch at a time.

    success, view: shares of the edits after which x, and x', get the wanted class. locality: share of the other
    images whose prediction stays. cross_entropy, kl: as in the loss. alpha: the multiplier now.
    """
    columns: dict[str, list[Tensor]] = {name: [] for name in ("success", "view", "locality", "cross_entropy", "kl")}
    for rows in torch.arange(len(held_out), device=network.alpha.device).split(recipe.batch_size):
        effect = apply_edit(model, network, held_out, rows, recipe.others)
        predicted, before = effect.logits.argmax(-1), held_out.logits.argmax(-1)
        right = predicted[:, :2] == held_out.targets[rows][:, None]
        unchanged = predicted[:, 2:] == before[effect.unrelated]
        values = (right[:, 0], right[:, 1], unchanged, effect.cross_entropy, effect.kl)
        for column, batch in zip(columns.values(), values, strict=True):
            column.append(in_float64(batch).flatten())
    means = {name: torch.cat(column).mean().item() for name, column in columns.items()}
    return {**means, "alpha": network.alpha.item()}
