"""The editor network against a plain loop over tokens, its normalisation against numpy, and recipes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmark.core.errors import UserError
from editors.methods.mend.factors import factors
from editors.methods.mend.network import EPSILON, FactorEditor, MENDShape, new_network
from editors.methods.mend.recipe import MENDRecipe
from tests.conftest import small_vit
from tests.editors.conftest import failures
from tests.editors.methods.mend.conftest import CUT, MODEL, NAMES, QUICK, lively_network, plain_network, tokens_of


def residual(layer, z: np.ndarray, number: int) -> np.ndarray:
    """Eq. (5) for one token."""
    u, v, bias, scale, shift = (p.detach().numpy() for p in (layer.u, layer.v, layer.bias, layer.scale, layer.shift))
    return z + np.maximum(0, scale[number] * (u @ (v @ z) + bias) + shift[number])


def test_against_a_plain_loop_over_tokens() -> None:
    images, labels = failures(2, samples=2)
    gradient, network = factors(MODEL, tokens_of(images), labels, CUT, {}), lively_network()
    steps = network(gradient.pairs)
    fc1, fc2 = network.editors["24x96"], network.editors["96x24"]
    for place, name in enumerate(NAMES):
        editor, number = (fc1, fc2)[place % 2], place // 2
        mean, deviation = editor.mean.numpy(), np.sqrt(editor.squares.numpy() / (editor.count.item() - 1)) + EPSILON
        xs, ds = (side.numpy() for side in gradient.pairs[name])
        for failure in range(2):
            expected = np.zeros(MODEL.get_parameter(name).shape)
            for sample in range(2):
                for x, d in zip(xs[failure, sample], ds[failure, sample], strict=True):
                    z = (np.concatenate([x, d]) - mean) / deviation
                    z = residual(editor.second, residual(editor.first, z, number), number)
                    expected += np.outer(z[len(x) :], z[: len(x)]) / 2
            expected *= network.step_sizes[place].item()
            np.testing.assert_allclose(steps[name][failure].detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def test_untrained_and_not_normalised_it_is_the_gradient_times_the_step_size() -> None:
    images, labels = failures(2, samples=3)
    result = factors(MODEL, tokens_of(images), labels, CUT, {})
    steps = plain_network(step_size=0.01)(result.pairs)
    for name, (x, d) in result.pairs.items():
        gradient = torch.einsum("mnto,mnti->moi", d, x) / 3
        torch.testing.assert_close(steps[name], 0.01 * gradient, rtol=1e-10, atol=1e-14)


def test_an_untrained_network_can_learn() -> None:
    """U starts at zero, so that every relu sits at its kink: torch's own has no gradient there."""
    images, labels = failures(2)
    gradient, network = factors(MODEL, tokens_of(images), labels, CUT, {}), plain_network(step_size=0.01)
    sum(step.sum() for step in network(gradient.pairs).values()).backward()
    for editor in network.editors.values():
        for layer in (editor.first, editor.second):
            assert layer.u.grad.abs().max() > 0 and layer.bias.grad.abs().max() > 0


def test_mean_and_deviation_are_numpys_over_all_pairs_with_a_gradient() -> None:
    editor, rng = FactorEditor(4, 6, rank=2, layers=1), np.random.default_rng(0)
    seen = []
    for count in (1, 5, 2, 40):
        x, d = rng.normal(3, 2, (count, 2, 4)), rng.normal(-1, 0.1, (count, 2, 6))
        d[0, 0] = 0
        editor.observe(torch.tensor(x), torch.tensor(d))
        pairs = np.concatenate([x, d], -1).reshape(-1, 10)
        seen.append(pairs[(pairs[:, 4:] != 0).any(-1)])
    everything = np.concatenate(seen)
    assert editor.count.item() == len(everything) == 2 * 48 - 4
    np.testing.assert_allclose(editor.mean.numpy(), everything.mean(0), rtol=1e-12)
    deviation = np.sqrt(editor.squares.numpy() / (len(everything) - 1))
    np.testing.assert_allclose(deviation, everything.std(0, ddof=1), rtol=1e-12)
    kept = editor.mean.clone()
    editor.observe(torch.ones(3, 4).double(), torch.zeros(3, 6).double())
    assert torch.equal(editor.mean, kept)


def test_a_token_without_gradient_adds_nothing() -> None:
    network = lively_network()
    images, labels = failures(1)
    pairs = factors(MODEL, tokens_of(images), labels, CUT, {}).pairs
    padded = {}
    for name, (x, d) in pairs.items():
        more = torch.randn(1, 1, 3, x.shape[-1], dtype=torch.float64)
        padded[name] = torch.cat([x, more], 2), torch.cat([d, torch.zeros(1, 1, 3, d.shape[-1]).double()], 2)
    for name, step in network(pairs).items():
        torch.testing.assert_close(network(padded)[name], step)


def test_layers_of_one_shape_share_all_but_scale_and_shift() -> None:
    shape = MENDShape.of(MODEL, MENDRecipe())
    network = new_network(shape, 0)
    assert set(network.editors) == {"24x96", "96x24"} and network.step_sizes.shape == (6,)
    assert network.editors["24x96"].first.u.shape == (120, 120), "a rank above the width"
    assert network.editors["24x96"].first.scale.shape == (3, 120)
    square = new_network(MENDShape.of(small_vit(mlp_ratio=1), MENDRecipe()), 0)
    assert set(square.editors) == {"24x24"} and [place for _, place in square.places] == list(range(6))
    assert MENDShape.from_json(json.loads(json.dumps(shape.to_json()))) == shape


def test_its_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, same, other = (new_network(MENDShape.of(MODEL, QUICK), seed).editors["24x96"].first.v for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_recipes_come_back_from_json_and_refuse_nonsense() -> None:
    assert MENDRecipe.from_json(QUICK.to_json()) == QUICK
    with pytest.raises(UserError, match="differs in the fields"):
        MENDRecipe.from_json(json.dumps({**json.loads(QUICK.to_json()), "colour": 1}))
    with pytest.raises(UserError, match="--top-k must be 2 or more"):
        QUICK.but(top_k=1)
    with pytest.raises(UserError, match="--step-lr must be above 0"):
        QUICK.but(step_lr=0.0)
    with pytest.raises(UserError, match="--crop-scale"):
        QUICK.but(crop_scale=1.5)
