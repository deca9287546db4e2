"""Time of meta-training, ours and a loop in the manner of the released code, and whether both find the same masks.

Random weights, random images. *Ours* optimises the targets of many pseudo-samples at once, on cached prefixes,
with one first inner gradient for all outer steps. *Plain* takes one sample at a time, a full forward for every
step, and every gradient anew. Both take the same numbers of steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.core.devices import device_name, matmul_ceiling, pick, set_products
from benchmark.core.timing import Comparison, interleaved
from benchmark.models.checks import check_supported
from benchmark.models.load import random_base
from benchmark.models.vit import (
    Model,
    edits_at_once,
    ffn_matrices,
    forward,
    hidden_width,
    unit_masks,
)
from editors.core.flops import step_flops
from editors.methods.hypernetwork.fit import fit_loss
from editors.methods.hypernetwork.meta import optimise_targets, prepare
from editors.methods.hypernetwork.network import HypernetworkShape, new_network
from editors.methods.hypernetwork.recipe import PRESETS, HypernetworkRecipe
from editors.training.losses import divergence

RECIPE = PRESETS["released"]
FLOAT64_DISTANCE = 1e-6  # largest difference of two masks; RMSProp amplifies the rounding of tiny gradients
FLOAT32_DISTANCE = 0.01  # mean difference of two masks


@dataclass(frozen=True)
class MetaSpeed:
    """Speed of the targets' optimisation and of the fit, and the distance between our masks and the plain ones."""

    base: str
    device: str
    precision: str
    float64: float
    """Largest difference of two masks on the mini."""
    float32: float
    """Mean difference of two masks on this base."""
    speed: Comparison
    fit_seconds: float
    """Of one batch of the fit."""
    hours: float
    """Projected, for the recipe's iterations and batch."""


def plain_targets(model: Model, clean: Tensor, altered: Tensor, start: Tensor, recipe: HypernetworkRecipe) -> Tensor:
    """m~ (1, layers, N_m) of one pseudo-sample, images (1, 3, H, W): the plain, first-order reference."""
    names = ffn_matrices(model)
    base = {name: model.get_parameter(name) for name in names}
    with torch.no_grad():
        target_logits = model(clean)
    scores = start.clone().requires_grad_()
    optimizer = torch.optim.RMSprop([scores], lr=recipe.target_lr)
    for _ in range(recipe.outer_steps):
        mask = (recipe.mask_slope * scores[0]).sigmoid()
        masks, held = unit_masks(mask, names), unit_masks(mask.detach(), names)
        change = {name: torch.zeros_like(weight) for name, weight in base.items()}
        for _ in range(recipe.inner_steps):
            weights = {name: (base[name] + held[name] * change[name]).requires_grad_() for name in names}
            loss = divergence(forward(model, altered, weights), target_logits, recipe.temperature).sum()
            for name, gradient in zip(names, torch.autograd.grad(loss, list(weights.values())), strict=True):
                change[name] = change[name] - recipe.inner_lr * gradient
        weights = {name: base[name] + masks[name] * change[name] for name in names}
        kl = divergence(forward(model, altered, weights), target_logits, recipe.temperature).sum()
        optimizer.zero_grad()
        (kl + recipe.sparsity_weight / 8 * mask.mean()).backward()
        optimizer.step()
    return scores.detach()


@dataclass(frozen=True)
class Case:
    """The same pseudo-samples for both, ours and plain."""

    model: Model
    clean: Tensor
    altered: Tensor
    start: Tensor
    recipe: HypernetworkRecipe

    @classmethod
    def random(cls, model: Model, count: int, recipe: HypernetworkRecipe) -> Case:
        """`count` pseudo-samples of noise."""
        random, like = torch.Generator().manual_seed(0), next(model.parameters())
        clean, altered = torch.randn(2, count, 3, *model.patch_embed.img_size, generator=random).to(like)
        units = (len(ffn_matrices(model)), hidden_width(model))
        return cls(model, clean, altered, (2 * torch.rand(count, *units, generator=random) - 1).to(like), recipe)

    def ours(self) -> Tensor:
        """Targets, all at once."""
        return optimise_targets(self.model, prepare(self.model, self.clean, self.altered), self.start, self.recipe)[0]

    def plain(self) -> Tensor:
        """Targets, one after the other."""
        rows = zip(self.clean.split(1), self.altered.split(1), self.start.split(1), strict=True)
        return torch.cat([plain_targets(self.model, *row, self.recipe) for row in rows])

    def distances(self) -> Tensor:
        """Absolute differences between our masks and the plain ones.

        Raises `AssertionError` if the masks are all but full or empty, which would compare nothing.
        """
        ours, plain = ((self.recipe.mask_slope * scores).sigmoid() for scores in (self.ours(), self.plain()))
        assert 0.01 < plain.mean() < 0.99, f"masks of mean {plain.mean():.3f} are too uniform to compare"
        return (ours - plain).abs()


def measure_metatraining(base: str, device: str = "cpu", precision: str = "float32", quick: bool = False) -> MetaSpeed:
    """Check equality, then time as many pseudo-samples as the bank computes at once.

    Raises `AssertionError` if the masks differ.
    """
    torch_device, recipe = pick(device), RECIPE
    set_products(precision)
    # with the released rates random weights hardly move, and the penalty alone would decide every mask
    moving = recipe.but(inner_lr=0.1, sparsity_weight=0.02)
    exact = float(Case.random(lively_base("mini", dtype=torch.float64), 2, moving).distances().max())
    assert exact <= FLOAT64_DISTANCE, f"masks differ by {exact:.2g} in float64, allowed {FLOAT64_DISTANCE:.0e}"

    timed = moving.but(outer_steps=2) if quick else moving
    model = lively_base(base, device=device)
    check_supported(model)
    case = Case.random(model, count := edits_at_once(model, torch_device), timed)
    close = float(case.distances().mean())
    if precision == "float32":
        assert close <= FLOAT32_DISTANCE, f"masks differ by {close:.2g} on average, allowed {FLOAT32_DISTANCE}"
    timing = interleaved({"ours": case.ours, "plain": case.plain}, 1 if quick else 3, torch_device)
    passes, steps = timed.outer_steps * (timed.inner_steps + 1), timed.outer_steps - 1
    speed = Comparison(
        "targets", count, timing["ours"], timing["plain"],
        count * (passes - steps) * step_flops(model), count * passes * step_flops(model, plain=True),
        matmul_ceiling(torch_device),
    )  # fmt: skip
    fit_seconds = time_fit(model, recipe, torch_device)
    a_target = timing["ours"].median / count * recipe.outer_steps / timed.outer_steps
    hours = recipe.iterations * (recipe.batch_size * a_target + fit_seconds) / 3600
    return MetaSpeed(base, device_name(torch_device), precision, exact, close, speed, fit_seconds, hours)


def lively_base(base: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Model:
    """Random weights with logits so large that a KL has something to bring back."""
    model = random_base(base, device=device, dtype=dtype).module
    torch.nn.init.normal_(model.head.weight, std=0.2)  # type: ignore[union-attr, arg-type]
    return model


def time_fit(model: Model, recipe: HypernetworkRecipe, device: torch.device) -> float:
    """Seconds of one batch of the fit, all its steps."""
    network = new_network(HypernetworkShape.of(model, recipe), 0).to(device)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=recipe.lr)
    features = torch.randn(recipe.batch_size, model.embed_dim, device=device)
    targets = torch.randn(recipe.batch_size, network.shape.layers, network.shape.units, device=device)

    def batch() -> None:
        for _ in range(recipe.steps_a_batch):
            optimizer.zero_grad()
            fit_loss(network(features), targets, recipe).backward()
            optimizer.step()

    batch()
    return interleaved({"fit": batch}, 10, device)["fit"].median
