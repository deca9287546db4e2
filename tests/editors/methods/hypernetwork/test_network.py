"""The network fits any base; recipes; checkpoints and what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark.core.errors import UserError
from benchmark.models.load import BaseModel
from editors.methods.hypernetwork.checkpoint import STORE, load, run_metadata
from editors.methods.hypernetwork.fit import learning_rate
from editors.methods.hypernetwork.network import HypernetworkShape, new_network
from editors.methods.hypernetwork.recipe import HypernetworkRecipe, preset
from tests.conftest import small_vit


def write_checkpoint(path: Path, base: BaseModel, recipe: HypernetworkRecipe) -> Path:
    STORE.save(
        path,
        new_network(HypernetworkShape.of(base.module, recipe), seed=0),
        run_metadata(base, recipe, 0, "data", None),
        iteration=5,
    )
    return path


@pytest.mark.parametrize("name", ["released", "paper"])
@pytest.mark.parametrize("settings", [{}, {"depth": 2}, {"embed_dim": 40, "num_heads": 4, "mlp_ratio": 3}])
def test_scores_for_every_unit_of_any_base(name: str, settings: dict) -> None:
    model = small_vit(**settings)
    shape = HypernetworkShape.of(model, preset(name))
    network = new_network(shape, seed=0)
    layers = 4 if settings.get("depth") == 2 else 6
    assert network(torch.randn(3, model.embed_dim)).shape == (3, layers, model.blocks[0].mlp.fc1.out_features)
    assert shape.heads == (6 if model.embed_dim % 6 == 0 else model.blocks[0].attn.num_heads)
    assert not network.tokens.any()
    assert len(network.heads) == (1 if name == "paper" else layers)
    hidden = network.blocks[0].mlp.fc1.out_features
    assert hidden == (model.blocks[0].mlp.fc1.out_features if name == "paper" else model.embed_dim)
    other = new_network(shape, seed=1)
    assert not torch.equal(other.heads[0].weight, network.heads[0].weight)
    assert torch.equal(new_network(shape, seed=0).heads[0].weight, network.heads[0].weight)


def test_the_cosine_is_torchs() -> None:
    recipe = preset("released").but(cosine_over=40)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    for iteration in range(40):
        assert learning_rate(recipe, iteration) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert learning_rate(preset("paper"), 6999) == 1e-4


def test_recipes_come_back_from_json_and_refuse_nonsense() -> None:
    for name in ("released", "paper"):
        assert HypernetworkRecipe.from_json(preset(name).to_json()) == preset(name)
    changed = json.loads(preset("paper").to_json()) | {"novelty": 1}
    with pytest.raises(UserError, match="novelty"):
        HypernetworkRecipe.from_json(json.dumps(changed))
    with pytest.raises(UserError, match="paper"):
        preset("papr")
    with pytest.raises(UserError, match="--inner-lr"):
        preset("paper").but(inner_lr=-1.0)
    with pytest.raises(UserError, match="--blocks"):
        preset("paper").but(blocks=0)


def test_a_checkpoint_carries_its_recipe_and_comes_back(tmp_path: Path, base: BaseModel) -> None:
    recipe = preset("paper").but(blocks=2, sparsity_weight=0.5)
    path = write_checkpoint(tmp_path / "hn.safetensors", base, recipe)
    checkpoint = load(path, base.weights_sha256)
    metadata = checkpoint.metadata
    assert checkpoint.recipe == recipe and metadata["iteration"] == "5" and metadata["base"] == "small"
    features = torch.randn(2, 24)
    torch.testing.assert_close(
        checkpoint.network(features), new_network(HypernetworkShape.of(base.module, recipe), 0)(features)
    )


def test_what_is_no_checkpoint_of_this_base_is_refused(tmp_path: Path, base: BaseModel) -> None:
    path = write_checkpoint(tmp_path / "hn.safetensors", base, preset("released"))
    with pytest.raises(
        UserError, match=r"trained for small \(weights .* not for this base .*editors.train hypernetwork"
    ):
        load(path, "0" * 64)
    with pytest.raises(UserError, match=r"no such checkpoint \(did you mean .*hn.safetensors\?\); train one with"):
        load(tmp_path / "none.safetensors", base.weights_sha256)
    (tmp_path / "bad.safetensors").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a safetensors file"):
        load(tmp_path / "bad.safetensors", base.weights_sha256)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="holds no trained hypernetwork"):
        load(tmp_path / "other.safetensors", base.weights_sha256)


def test_the_shipped_one_is_found_by_the_bases_weights(
    tmp_path: Path, base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = replace(STORE, shipped=tmp_path)
    with pytest.raises(UserError, match=r"no trained hypernetwork for this base .*editors.train hypernetwork"):
        store.shipped_for(base.weights_sha256)
    path = write_checkpoint(tmp_path / "small.safetensors", base, preset("released"))
    assert store.shipped_for(base.weights_sha256) == path
