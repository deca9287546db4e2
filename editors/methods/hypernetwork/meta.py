"""The bi-level problem of Algorithm 1: the inner loop that edits under a mask, the outer loss that judges the mask.

Many pseudo-samples at once: each has its own mask and weights along a leading axis, nothing is shared but the
frozen base, so each gets what it would get alone. Everything in front of the edited FFNs is computed once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.models.vit import (
    Cut,
    Model,
    cls_features,
    depth,
    ffn_cut,
    ffn_matrices,
    forward_prefix,
    forward_tail,
    unit_masks,
)
from editors.methods.hypernetwork.recipe import RELEASED_BATCH, HypernetworkRecipe
from editors.training.losses import divergence

Change = dict[str, Tensor]  # Delta by parameter name, one row a pseudo-sample


@dataclass(frozen=True)
class HypernetworkEpisodes:
    """m pseudo-samples as meta-training needs them."""

    tokens: Tensor
    """Tokens of x at the cut before the edited FFNs, (m, 1, T, N)."""
    target_logits: Tensor
    """Logits of the unedited base for x', (m, classes): their softmax is the soft label of eq. (3)."""
    features: Tensor
    """The hypernetwork's input, the [cls] features of x, (m, N)."""

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, rows: slice) -> HypernetworkEpisodes:
        """The episodes of these rows."""
        return HypernetworkEpisodes(self.tokens[rows], self.target_logits[rows], self.features[rows])


@torch.no_grad()
def prepare(model: Model, clean: Tensor, altered: Tensor) -> HypernetworkEpisodes:
    """Episodes from x' and x, each (m, 3, H, W)."""
    end = Cut(depth(model))
    return HypernetworkEpisodes(
        tokens=forward_prefix(model, altered, _cut(model))[:, None],
        target_logits=forward_tail(model, forward_prefix(model, clean, end), end, {}),
        features=cls_features(model, altered),
    )


def first_gradient(model: Model, episodes: HypernetworkEpisodes, recipe: HypernetworkRecipe) -> Change:
    """The inner gradient at phi_0. It depends on no mask, so all outer steps share it."""
    start = {name: weight.expand(len(episodes), -1, -1) for name, weight in _base(model).items()}
    return _gradient(model, episodes, start, recipe, graph=False)


def inner_loop(
    model: Model, episodes: HypernetworkEpisodes, mask: Tensor, recipe: HypernetworkRecipe, first: Change
) -> Change:
    """Delta_T of each episode under its mask (m, layers, N_m): Algorithm 1, lines 6-10.

    Delta accumulates the whole gradient; the mask chooses what of it the next gradient sees. Without
    `second_order` nothing of the result depends on the mask, as far as autograd knows.
    """
    graph = recipe.second_order and mask.requires_grad
    masks = unit_masks(mask if graph else mask.detach(), ffn_matrices(model))
    change = {name: -recipe.inner_lr * gradient for name, gradient in first.items()}
    subtract = Tensor.sub if graph else Tensor.sub_  # in place where autograd keeps nothing
    for _ in range(recipe.inner_steps - 1):
        weights = _masked(model, masks, change)
        gradients = _gradient(model, episodes, weights, recipe, graph)
        change = {name: subtract(change[name], gradients[name], alpha=recipe.inner_lr) for name in change}
    return change


def outer_loss(
    model: Model, episodes: HypernetworkEpisodes, mask: Tensor, change: Change, recipe: HypernetworkRecipe
) -> tuple[Tensor, Tensor]:
    """KL at phi_T = phi_0 + mask * Delta_T, and lambda * mean(mask) / 8: both (m,); line 11.

    The released code adds lambda times the mean mask of 8 samples to the sum of their KLs; that ratio is kept.
    """
    weights = _masked(model, unit_masks(mask, ffn_matrices(model)), change)
    logits = forward_tail(model, episodes.tokens, _cut(model), weights)[:, 0]
    penalty = recipe.sparsity_weight / RELEASED_BATCH * mask.flatten(1).mean(1)
    return divergence(logits, episodes.target_logits, recipe.temperature), penalty


def optimise_targets(
    model: Model, episodes: HypernetworkEpisodes, start: Tensor, recipe: HypernetworkRecipe
) -> tuple[Tensor, Tensor]:
    """m~* of eq. (11), from `start` (m, layers, N_m), and the outer loss's KL (m,) before the last step.

    The optimisers work element by element, so that the batch changes nothing.
    """
    scores = start.clone().requires_grad_()
    optimizers = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}
    optimizer = optimizers[recipe.target_optimizer]([scores], lr=recipe.target_lr)
    with differentiable_twice(recipe):
        first = first_gradient(model, episodes, recipe)
        for _ in range(recipe.outer_steps):
            mask = (recipe.mask_slope * scores).sigmoid()
            change = inner_loop(model, episodes, mask, recipe, first)
            kl, penalty = outer_loss(model, episodes, mask, change, recipe)
            (scores.grad,) = torch.autograd.grad((kl + penalty).sum(), [scores])
            optimizer.step()
    return scores.detach(), kl.detach()


@torch.no_grad()
def masked_divergence(model: Model, episodes: HypernetworkEpisodes, mask: Tensor, recipe: HypernetworkRecipe) -> Tensor:
    """KL after the inner loop under given masks (m, layers, N_m), (m,), for the training curves."""
    change = inner_loop(model, episodes, mask, recipe, first_gradient(model, episodes, recipe))
    return outer_loss(model, episodes, mask, change, recipe)[0]


@contextlib.contextmanager
def differentiable_twice(recipe: HypernetworkRecipe) -> Iterator[None]:
    """Attention by its plain formula where second derivatives are needed; the fused kernels have none."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH) if recipe.second_order else contextlib.nullcontext():
        yield


def _cut(model: Model) -> Cut:
    return ffn_cut(model, ffn_matrices(model))


def _base(model: Model) -> dict[str, Tensor]:
    return {name: model.get_parameter(name).detach() for name in ffn_matrices(model)}


def _masked(model: Model, masks: dict[str, Tensor], change: Change) -> dict[str, Tensor]:
    return {name: torch.addcmul(weight, masks[name], change[name]) for name, weight in _base(model).items()}


def _gradient(
    model: Model, episodes: HypernetworkEpisodes, weights: dict[str, Tensor], recipe: HypernetworkRecipe, graph: bool
) -> Change:
    """Gradient of the KL by each episode's own weights; with `graph`, itself differentiable."""
    if not graph:
        weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    with torch.enable_grad():
        logits = forward_tail(model, episodes.tokens, _cut(model), weights)[:, 0]
        loss = divergence(logits, episodes.target_logits, recipe.temperature).sum()
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=graph)
    return dict(zip(weights, gradients, strict=True))
