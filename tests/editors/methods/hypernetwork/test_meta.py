"""Meta-training's inner and outer loop against a slow reference, finite differences and the released recipe."""

from __future__ import annotations

import pytest
import torch

from benchmark.models import vit
from editors.methods.hypernetwork.fit import fit_loss, standard_loss
from editors.methods.hypernetwork.meta import (
    HypernetworkEpisodes,
    differentiable_twice,
    divergence,
    first_gradient,
    inner_loop,
    masked_divergence,
    optimise_targets,
    outer_loss,
    prepare,
)
from editors.methods.hypernetwork.network import HypernetworkShape, new_network
from editors.methods.hypernetwork.recipe import PRESETS, HypernetworkRecipe, preset
from tests.conftest import small_vit
from tests.editors.methods.hypernetwork import reference

MODEL = small_vit(dtype=torch.float64, depth=2)
NAMES = vit.ffn_matrices(MODEL)
UNITS = (len(NAMES), vit.hidden_width(MODEL))
# a learning rate at which the inner loop really moves these random weights
RECIPES = {name: recipe.but(inner_lr=0.05, inner_steps=3, outer_steps=4) for name, recipe in PRESETS.items()}


def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    clean, altered = torch.randn(2, count, 3, 32, 32, generator=generator, dtype=torch.float64)
    return clean, altered


def scores(count: int, scale: float = 0.2) -> torch.Tensor:
    return scale * torch.randn(count, *UNITS, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def objective(episodes: HypernetworkEpisodes, start: torch.Tensor, recipe: HypernetworkRecipe) -> torch.Tensor:
    """The outer loss of each episode as a function of its scores, graph and all."""
    with differentiable_twice(recipe):
        mask = (recipe.mask_slope * start).sigmoid()
        change = inner_loop(MODEL, episodes, mask, recipe, first_gradient(MODEL, episodes, recipe))
        kl, penalty = outer_loss(MODEL, episodes, mask, change, recipe)
    return kl + penalty


def test_the_models_two_blocks_hold_four_matrices() -> None:
    assert UNITS == (4, 96)


def test_episodes_hold_the_bases_own_logits_and_final_cls_feature() -> None:
    clean, altered = images(3)
    episodes = prepare(MODEL, clean, altered)
    torch.testing.assert_close(episodes.target_logits, MODEL(clean))
    torch.testing.assert_close(episodes.features, MODEL.forward_features(altered)[:, 0])


@pytest.mark.parametrize("name", RECIPES)
def test_inner_loop_and_outer_gradient_against_the_reference(name: str) -> None:
    recipe = RECIPES[name]
    clean, altered = images(3)
    episodes, start = prepare(MODEL, clean, altered), scores(3).requires_grad_()
    mask = (recipe.mask_slope * start).sigmoid()
    with differentiable_twice(recipe):
        change = inner_loop(MODEL, episodes, mask, recipe, first_gradient(MODEL, episodes, recipe))
    loss = objective(episodes, start, recipe)
    (gradient,) = torch.autograd.grad(loss.sum(), start)
    for row in range(3):
        own = start[row].detach().requires_grad_()
        own_mask = (recipe.mask_slope * own).sigmoid()
        with differentiable_twice(recipe):
            weights, delta = reference.inner(
                MODEL,
                NAMES,
                altered[row],
                clean[row],
                own_mask,
                recipe.inner_steps,
                recipe.inner_lr,
                recipe.temperature,
                recipe.second_order,
            )
            value = reference.kl(MODEL, weights, altered[row], clean[row], recipe.temperature) + own_mask.mean() / 8
            (expected,) = torch.autograd.grad(value, own)
        for layer in NAMES:
            torch.testing.assert_close(change[layer][row], delta[layer], rtol=1e-9, atol=1e-13)
        torch.testing.assert_close(loss[row], value, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(gradient[row], expected, rtol=1e-8, atol=1e-13)


def test_second_order_gradient_against_finite_differences() -> None:
    recipe = RECIPES["paper"].but(sparsity_weight=0.0)
    episodes, start = prepare(MODEL, *images(1)), scores(1).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(episodes, start, recipe).sum(), start)
    (first_order,) = torch.autograd.grad(objective(episodes, start, recipe.but(second_order=False)).sum(), start)
    most = gradient.abs().flatten().topk(6).indices.tolist()
    for place in most:
        step = torch.zeros_like(start).flatten()
        step[place] = 1e-5
        step = step.view_as(start)
        with torch.no_grad():
            up, down = objective(episodes, start + step, recipe), objective(episodes, start - step, recipe)
        expected = ((up - down) / 2e-5).item()
        assert gradient.flatten()[place].item() == pytest.approx(expected, rel=1e-5)
    apart = (gradient - first_order).norm() / gradient.norm()
    assert apart > 1e-3, "the inner loop moves too little for this test to tell the two apart"


def test_targets_against_a_transcription_of_the_released_recipe() -> None:
    clean, altered = images(3)
    start = torch.rand(3, *UNITS, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    targets, _ = optimise_targets(MODEL, prepare(MODEL, clean, altered), start, preset("released"))
    for row in range(3):
        expected = reference.released_targets(MODEL, NAMES, altered[row], clean[row], start[row])
        torch.testing.assert_close(targets[row], expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", RECIPES)
def test_targets_do_not_depend_on_the_batch(name: str) -> None:
    episodes, start = prepare(MODEL, *images(4)), scores(4)
    together, kl = optimise_targets(MODEL, episodes, start, RECIPES[name])
    assert kl.shape == (4,)
    for row in range(4):
        alone, _ = optimise_targets(MODEL, episodes.rows(slice(row, row + 1)), start[row : row + 1], RECIPES[name])
        torch.testing.assert_close(together[row], alone[0], rtol=1e-7, atol=1e-9)


def test_masks_of_ones_and_zeros() -> None:
    """All units: plain gradient descent, which lowers the KL. None: the base itself."""
    recipe = preset("released")
    clean, altered = images(2)
    episodes, ones = prepare(MODEL, clean, altered), torch.ones(2, *UNITS, dtype=torch.float64)
    before = divergence(MODEL(altered), MODEL(clean), recipe.temperature)
    torch.testing.assert_close(masked_divergence(MODEL, episodes, 0 * ones, recipe), before)
    assert (masked_divergence(MODEL, episodes, ones, recipe) < before).all()


def test_the_divergence_is_kullback_leiblers() -> None:
    logits, target_logits = torch.randn(2, 5, 10, dtype=torch.float64)
    p, q = (target_logits / 5).softmax(-1), (logits / 5).softmax(-1)
    torch.testing.assert_close(divergence(logits, target_logits, 5.0), 25 * (p * (p / q).log()).sum(-1))
    torch.testing.assert_close(divergence(target_logits, target_logits, 1.0), torch.zeros(5, dtype=torch.float64))


def test_the_standard_forms_gradient_reaches_the_network() -> None:
    """Its chain: outer gradient by the mask, then the network's own backward."""
    recipe = RECIPES["paper"].but(form="standard", blocks=1)
    episodes = prepare(MODEL, *images(3))
    network = new_network(HypernetworkShape.of(MODEL, recipe), seed=1).double()
    standard_loss(MODEL, network, episodes, recipe).backward()
    start = network(episodes.features).detach().requires_grad_()
    (outer,) = torch.autograd.grad(objective(episodes, start, recipe).mean(), start)
    expected = torch.autograd.grad(network(episodes.features), list(network.parameters()), outer)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-7, atol=1e-12)


def test_the_two_fit_losses() -> None:
    """The released 0.1 BCE has the gradient of 0.1 KL(m~, m^); the paper's KL(m^, m~) is another function."""
    predicted = torch.randn(3, *UNITS, dtype=torch.float64, requires_grad=True)
    targets = torch.randn(3, *UNITS, dtype=torch.float64)

    def bernoulli(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, predicted)[0]

    released, paper = preset("released"), preset("paper").but(score_slope=3.0)
    m_hat, m_tilde = (3 * predicted).sigmoid(), (3 * targets).sigmoid()
    torch.testing.assert_close(
        gradient(fit_loss(predicted, targets, released)), gradient(0.1 * bernoulli(m_tilde, m_hat))
    )
    torch.testing.assert_close(fit_loss(predicted, targets, paper), bernoulli((3 * predicted).sigmoid(), m_tilde))
    far = torch.full((1, *UNITS), 40.0, dtype=torch.float64, requires_grad=True)
    for recipe in (released, paper):  # saturated both ways: clamped, so finite
        assert fit_loss(far, -far.detach(), recipe).isfinite()
