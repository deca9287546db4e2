"""KE's formulas against plain loops; the network fits any base; recipes and checkpoints, and what they refuse."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmark.core.errors import UserError
from benchmark.models import vit
from benchmark.models.load import BaseModel
from benchmark.models.vit import last_ffn_matrices
from editors.methods.ke.checkpoint import load
from editors.methods.ke.network import KEShape, conditions, cut_of, features_at, new_network
from editors.methods.ke.recipe import KERecipe
from tests.conftest import small_vit
from tests.editors.methods.ke.conftest import QUICK, write_checkpoint


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_change_is_the_articles_formula_written_with_plain_loops() -> None:
    """sigmoid(eta) (softmax(row_a) col_a^T * G + softmax(row_b) col_b^T), in the order of its code's split."""
    rows, columns, scale = 3, 4, 0.7
    network = new_network(KEShape(width=5, condition=6, hidden=7, matrices=((rows, columns),)), seed=1).double()
    inputs, gradient, weight = random(2, 15), random(2, rows, columns, seed=1), random(rows, columns, seed=2)
    changed = network(inputs)[0].scaled(scale).change(weight, gradient).detach()
    for edit in range(2):
        numbers = network.heads[0](network.shared(inputs[edit])).tolist()
        column_a, numbers = numbers[:columns], numbers[columns:]
        row_a, numbers = numbers[:rows], numbers[rows:]
        column_b, numbers = numbers[:columns], numbers[columns:]
        row_b, (eta,) = numbers[:rows], numbers[rows:]
        gate = 1 / (1 + math.exp(-eta))
        for i in range(rows):
            soft_a = math.exp(row_a[i]) / sum(map(math.exp, row_a))
            soft_b = math.exp(row_b[i]) / sum(map(math.exp, row_b))
            for j in range(columns):
                rank_one = soft_a * column_a[j] * gradient[edit, i, j] + soft_b * column_b[j]
                expected = float(weight[i, j] + scale * gate * rank_one)
                assert float(changed[edit, i, j]) == pytest.approx(expected, rel=1e-12)


def test_each_head_is_weight_normalised() -> None:
    """Row i of a layer is g_i v_i / norm(v_i), so the length of v changes nothing."""
    network = new_network(KEShape(width=5, condition=6, hidden=7, matrices=((3, 4),)), seed=1).double()
    inputs, head = random(2, 15), network.heads[0]
    before = head(network.shared(inputs))
    names = dict(head.named_parameters())
    with torch.no_grad():
        for layer in (0, 2):
            names[f"{layer}.parametrizations.weight.original1"] *= 3
    torch.testing.assert_close(head(network.shared(inputs)), before)


def test_what_the_network_is_told() -> None:
    features, rows = random(2, 24), random(1000, 24, seed=1)
    predicted, targets = torch.tensor([3, 5]), torch.tensor([7, 999])
    inputs = conditions(features, rows, predicted, targets)
    for number in range(2):
        parts = [features[number], rows[predicted[number]], rows[targets[number]]]
        expected = np.concatenate([(x - x.mean()) / np.sqrt(x.var() + 1e-5) for x in (part.numpy() for part in parts)])
        np.testing.assert_allclose(inputs[number].numpy(), expected, rtol=1e-10)


def test_features_are_what_the_head_classifies() -> None:
    model = small_vit(dtype=torch.float64)
    images = random(3, 3, 32, 32)
    features = features_at(model, vit.forward_prefix(model, images, cut_of(model)), cut_of(model))
    torch.testing.assert_close(features, model.forward_head(model.forward_features(images), pre_logits=True))


@pytest.mark.parametrize("settings", [{}, {"depth": 2}, {"embed_dim": 40, "num_heads": 4, "mlp_ratio": 3}])
def test_a_network_for_any_base(settings: dict) -> None:
    model = small_vit(**settings)
    names = last_ffn_matrices(model)
    assert names[-1] == f"blocks.{vit.depth(model) - 1}.mlp.fc2.weight" and len(names) == min(3, vit.depth(model)) * 2
    shape = KEShape.of(model, QUICK)
    assert KEShape.from_json(shape.to_json()) == shape
    network = new_network(shape, seed=0)
    for name, factors in zip(names, network(torch.randn(5, 3 * model.embed_dim)), strict=True):
        weight = model.get_parameter(name)
        assert factors.change(weight, torch.zeros(5, *weight.shape)).shape == (5, *weight.shape)
    same, other = new_network(shape, seed=0), new_network(shape, seed=1)
    assert torch.equal(same.shared[0].weight, network.shared[0].weight)
    assert not torch.equal(other.shared[0].weight, network.shared[0].weight)
    with torch.random.fork_rng():
        before = torch.random.get_rng_state()
        new_network(shape, seed=5)
        assert torch.equal(torch.random.get_rng_state(), before), "making a network draws from the global generator"


def test_the_learning_rate_is_that_of_the_usual_schedule() -> None:
    """Against torch's own linear schedulers, one after the other."""
    recipe = KERecipe(lr=0.4, warmup=5, iterations=25)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.lr)
    linear = torch.optim.lr_scheduler.LinearLR
    up, down = linear(optimizer, 1e-12, 1.0, total_iters=5), linear(optimizer, 1.0, 0.0, total_iters=20)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [up, down], milestones=[5])
    for iteration in range(25):
        assert recipe.learning_rate(iteration) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        schedule.step()
    assert KERecipe(lr=0.4, warmup=0, iterations=2).learning_rate(0) == 0.4


def test_recipes_come_back_from_json_and_refuse_nonsense() -> None:
    assert KERecipe.from_json(QUICK.to_json()) == QUICK != KERecipe()
    with pytest.raises(UserError, match="novelty"):
        KERecipe.from_json(json.dumps(json.loads(QUICK.to_json()) | {"novelty": 1}))
    for change, words in (
        ({"lr": -1.0}, "--lr"),
        ({"top_k": 1}, "--top-k must be 2"),
        ({"others": 4}, "--batch-size must be 5"),
        ({"warmup": 9}, "--warmup must be at most --iterations"),
        ({"crop_scale": 1.5}, "--crop-scale"),
    ):
        with pytest.raises(UserError, match=words):
            QUICK.but(**change)


def test_checkpoints_come_back_and_what_is_none_is_refused(tmp_path: Path, base: BaseModel) -> None:
    path = write_checkpoint(tmp_path / "ke.safetensors", base, strength=1.0)
    checkpoint = load(path, base.weights_sha256)
    assert checkpoint.metadata["iteration"] == "5" and KERecipe.from_json(checkpoint.metadata["recipe"]) == QUICK
    assert json.loads(checkpoint.metadata["matrices"]) == list(last_ffn_matrices(base.module))
    with pytest.raises(UserError, match=r"trained for small .* not for this base model .*editors.train ke"):
        load(path, "0" * 64)
    tensors = checkpoint.network.state_dict()
    save_file(
        {name: tensors[name] for name in list(tensors)[1:]}, tmp_path / "part.safetensors", metadata=checkpoint.metadata
    )
    with pytest.raises(UserError, match="cannot be used"):
        load(tmp_path / "part.safetensors", base.weights_sha256)
