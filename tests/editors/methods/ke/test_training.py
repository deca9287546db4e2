"""KE's training: its loss and its multiplier by hand, resumed runs bit by bit, the command, and what is shipped."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images.source import ImageSource, Selected
from benchmark.models.load import BaseModel, load_base
from benchmark.models.vit import last_ffn_matrices
from editors.methods.ke import loss
from editors.methods.ke.checkpoint import STORE, load, run_metadata
from editors.methods.ke.fit import ascended, measure, train, update
from editors.methods.ke.loss import apply_edit, prepare
from editors.methods.ke.network import KEShape, new_network
from editors.methods.ke.recipe import KERecipe
from editors.methods.ke.samples import Draws, EditingSamples
from editors.training.images import open_training_images
from editors.training.loop import state_path
from tests.conftest import small_vit
from tests.editors.methods.ke.conftest import QUICK, descending


class Killed(BaseException):
    """Stands for a signal."""


def samples(count: int = 4) -> EditingSamples:
    generator = torch.Generator().manual_seed(2)
    images, views = torch.randn(2, count, 3, 32, 32, generator=generator, dtype=torch.float64)
    return EditingSamples(images, views, torch.tensor([1, 4, 2, 3])[:count])


def rows(count: int) -> torch.Tensor:
    return torch.arange(count)


def curve(out: Path) -> list[dict[str, str]]:
    with out.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file))


def plain_losses(model, network, drawn: EditingSamples, number: int, others: int) -> tuple[torch.Tensor, torch.Tensor]:
    """CE and KL of one sample's edit, with full forwards on a model of its own; differentiable in the network."""
    images, names = drawn.images, last_ffn_matrices(model)
    before = model(images)
    target = before[number].argsort(descending=True)[drawn.ranks[number]]
    copied = copy.deepcopy(model)
    parameters = [copied.get_parameter(name).requires_grad_() for name in names]
    own_loss = F.cross_entropy(copied(images[number][None]), target[None])
    gradients = torch.autograd.grad(own_loss, parameters)
    feature = model.forward_head(model.forward_features(images), pre_logits=True)[number]
    parts = (feature, model.head.weight[before[number].argmax()], model.head.weight[target])
    condition = torch.cat([F.layer_norm(part, part.shape) for part in parts])
    weights = {}
    for head, name, gradient in zip(network.heads, names, gradients, strict=True):
        r, c = gradient.shape
        col_a, row_a, col_b, row_b, eta = head(network.shared(condition)).split([c, r, c, r, 1])
        rank_one = torch.outer(row_a.softmax(0), col_a) * gradient + torch.outer(row_b.softmax(0), col_b)
        weights[name] = model.get_parameter(name) + eta.sigmoid() * rank_one
    unrelated = images[[(number + step) % len(images) for step in range(1, others + 1)]]
    shown = torch.stack([images[number], drawn.views[number]])
    logits = torch.func.functional_call(model, weights, (torch.cat([shown, unrelated]),))
    old, new = (torch.distributions.Categorical(logits=x) for x in (model(unrelated), logits[2:]))
    fitted = F.cross_entropy(logits[:2], target.expand(2))
    return fitted, torch.distributions.kl_divergence(old, new).mean()


def test_the_loss_and_its_gradient_are_those_of_single_samples() -> None:
    model, drawn = small_vit(dtype=torch.float64), samples()
    network = descending(KEShape.of(model, QUICK), strength=1.0).double()
    effect = apply_edit(model, network, prepare(model, drawn), rows(4), QUICK.others)
    single = [plain_losses(model, network, drawn, number, QUICK.others) for number in range(4)]
    torch.testing.assert_close(effect.cross_entropy, torch.stack([edit for edit, _ in single]), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(effect.kl, torch.stack([kl for _, kl in single]), rtol=1e-9, atol=1e-12)
    assert (effect.kl > 1e-3).all(), "the edits change nothing, so that the KL is not tested"
    parameters = list(network.parameters())
    together = torch.autograd.grad((effect.cross_entropy + 0.7 * effect.kl).mean(), parameters)
    one_by_one = torch.autograd.grad(sum(edit + 0.7 * kl for edit, kl in single) / 4, parameters)
    for batched, plain in zip(together, one_by_one, strict=True):
        torch.testing.assert_close(batched, plain, rtol=1e-7, atol=1e-10)


def test_one_step_goes_down_in_the_network_and_up_in_alpha() -> None:
    """Against torch's Adam on the loss written out; alpha by hand."""
    model, recipe = small_vit(dtype=torch.float64), QUICK
    network = descending(KEShape.of(model, recipe), strength=0.3).double()
    network.alpha.fill_(2.0)
    episodes, plain = prepare(model, samples()), copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    value = update(model, network, optimizer, episodes, recipe, 0)

    adam = torch.optim.Adam(plain.parameters(), lr=0.01)
    effect = apply_edit(model, plain, episodes, rows(4), recipe.others)
    total = effect.cross_entropy.mean() + 2.0 * (effect.kl.mean() - 0.1)
    total.backward()
    adam.step()
    assert value == pytest.approx(total.item(), rel=1e-12)
    for trained, expected in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(trained, expected, rtol=1e-9, atol=1e-12)
    assert network.alpha.item() == pytest.approx(2.0 + 0.1 * (effect.kl.mean().item() - 0.1), rel=1e-12)
    assert "alpha" in network.state_dict()


def test_the_multiplier_by_hand() -> None:
    alpha = torch.tensor(1.0, dtype=torch.float64)
    assert ascended(alpha, torch.tensor(0.4), lr=0.1).item() == pytest.approx(1.04)
    assert ascended(alpha, torch.tensor(-0.1), lr=0.1).item() == pytest.approx(0.99)
    assert ascended(alpha, torch.tensor(-30.0), lr=0.1).item() == 0.0


def test_the_curve_counts_what_it_says() -> None:
    model, recipe = small_vit(dtype=torch.float64), QUICK.but(batch_size=3)
    network, episodes = descending(KEShape.of(model, recipe), strength=0.3).double(), prepare(model, samples())
    rates = measure(model, network, episodes, recipe)
    effect = apply_edit(model, network, episodes, rows(4), recipe.others)
    hits = [[int(logits.argmax()) == int(target) for logits in edit[:2]]
            for edit, target in zip(effect.logits, episodes.targets, strict=True)]  # fmt: skip
    same = [int(logits.argmax()) == int(episodes.logits[(edit + 1 + other) % 4].argmax())
            for edit, ofs in enumerate(effect.logits) for other, logits in enumerate(ofs[2:])]  # fmt: skip
    assert rates["success"] == sum(first for first, _ in hits) / 4 and rates["view"] == sum(v for _, v in hits) / 4
    assert rates["locality"] == sum(same) / 8 and rates["alpha"] == 1.0
    assert 0 < rates["success"] < 1 or 0 < rates["locality"] < 1, "all or nothing says little"
    assert rates["kl"] == pytest.approx(effect.kl.mean().item()) and len(hits) == 4


def test_samples_depend_on_seed_and_number_alone(tiny: BaseModel, source: ImageSource) -> None:
    draws = Draws(source, tiny.preprocessing, QUICK, seed=3)
    again = Draws(source, tiny.preprocessing, QUICK, seed=3)
    assert torch.equal(draws.batch(5).views, again.batch(5).views)
    first, second = draws.batch(5), draws.batch(6)
    assert not torch.equal(first.images, first.views) and not torch.equal(first.images, second.images)
    assert not torch.equal(draws.batch(0).images, Draws(source, tiny.preprocessing, QUICK, seed=4).batch(0).images)
    ranks = torch.cat([draws.batch(iteration).ranks for iteration in range(60)])
    assert ranks.unique().tolist() == [1, 2, 3, 4]


def test_no_picture_is_both_trained_on_and_held_out(tiny: BaseModel, source: ImageSource) -> None:
    seen: set[int] = set()

    class Watched(Selected):
        def require(self, position: int, draft: int | None = None) -> Image.Image:
            seen.add(position)
            return super().require(position, draft)

    draws = Draws(Watched(source, range(len(source))), tiny.preprocessing, QUICK, seed=0)
    held_out = draws.held_out()
    aside = {*seen}
    seen.clear()
    for iteration in range(20):
        draws.batch(iteration)
    assert len(held_out.ranks) == len(aside) == 4 and seen == set(range(8)) - aside
    assert not torch.equal(held_out.images, held_out.views)


def test_a_killed_run_goes_on_to_the_same_weights_and_curve(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, killed = tmp_path / "straight.safetensors", tmp_path / "killed.safetensors"
    train(tiny, source, QUICK, straight, 0, 4, progress=False)
    real: Callable = Draws.batch

    def dies(self: Draws, iteration: int) -> EditingSamples:
        if iteration == 6:  # after the checkpoint of iteration 4
            raise Killed
        return real(self, iteration)

    monkeypatch.setattr(Draws, "batch", dies)
    with pytest.raises(Killed):
        train(tiny, source, QUICK, killed, 0, 4, progress=False)
    assert load(killed, tiny.weights_sha256).metadata["iteration"] == "4"
    monkeypatch.setattr(Draws, "batch", real)
    train(tiny, source, QUICK, killed, 0, 4, progress=False)
    resumed, uninterrupted = (load(path, tiny.weights_sha256) for path in (killed, straight))
    assert resumed.metadata == uninterrupted.metadata and resumed.metadata["iteration"] == "8"
    for name, tensor in resumed.network.state_dict().items():
        assert torch.equal(tensor, uninterrupted.network.state_dict()[name]), name
    assert resumed.network.alpha != 1.0
    assert curve(killed) == curve(straight) and len(curve(killed)) == 8
    assert killed.with_suffix(".png").stat().st_size > 5000
    with pytest.raises(UserError, match=r"its lr is 0.001, yours is 0.01"):
        train(tiny, source, QUICK.but(lr=0.01), killed, 0, progress=False)
    with pytest.raises(UserError, match=r"its seed is 0, yours is 3"):
        train(tiny, source, QUICK, killed, 3, progress=False)


def test_it_learns_to_edit_where_other_images_cost_nothing(
    tiny: BaseModel, source: ImageSource, tmp_path: Path
) -> None:
    recipe = QUICK.but(hidden=16, condition=32, lr=0.03, iterations=80, others=1, kl_margin=10.0)
    train(tiny, source, recipe, tmp_path / "ke.safetensors", 0, progress=False)
    losses = [float(row["loss"]) for row in curve(tmp_path / "ke.safetensors")]
    assert sum(losses[-10:]) < 0.5 * sum(losses[2:12]), losses


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint_whole(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "divergence", lambda *_, **__: torch.full((4, 2), torch.nan))
    out = tmp_path / "ke.safetensors"
    with pytest.raises(UserError, match=r"not finite at iteration 0; lower --lr"):
        train(tiny, source, QUICK, out, 0, progress=False)
    assert not out.exists() and not state_path(out).exists()


def test_the_shipped_network_edits_held_out_training_images() -> None:
    """One application; its run's own held-out images, wanted classes, views and unrelated images."""
    base = load_base("mini")
    checkpoint = load(STORE.shipped_for(base.weights_sha256), base.weights_sha256)
    recipe, seed = KERecipe.from_json(checkpoint.metadata["recipe"]), int(checkpoint.metadata["seed"])
    assert checkpoint.metadata == {
        **run_metadata(base, recipe, seed, open_training_images("mini").signature), "iteration": str(recipe.iterations)
    }  # fmt: skip
    held_out = prepare(base.module, Draws(open_training_images("mini"), base.preprocessing, recipe, seed).held_out())
    rates = measure(base.module, checkpoint.network, held_out, recipe)
    untrained = measure(base.module, new_network(KEShape.of(base.module, recipe), 0), held_out, recipe)
    assert rates["success"] > 0.9 and untrained["success"] < 0.05
    assert rates["view"] > untrained["view"] + 0.3 and rates["locality"] > 0.7
