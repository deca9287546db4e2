"""Training: its loss against a plain one, that it learns, that a killed run goes on bit by bit, and the command."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from benchmark.core.errors import UserError
from benchmark.core.stopping import how_to_go_on
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from editors.methods.mend import fit
from editors.methods.mend.checkpoint import load
from editors.methods.mend.factors import factors
from editors.methods.mend.fit import apply_edit, losses, weighed
from editors.methods.mend.network import EditorNetwork
from editors.methods.mend.recipe import MENDRecipe
from editors.methods.mend.samples import EditingSamples, MENDEpisodes
from editors.training.loop import state_path
from tests.editors.conftest import failures
from tests.editors.methods.mend.conftest import BASE, MODEL, NAMES, QUICK, lively_network, tokens_of


@pytest.fixture(autouse=True)
def few_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "HELD_OUT", fit.HELD_OUT[:8])


class Killed(KeyboardInterrupt):
    """Stands for a signal."""


def run(tiny: BaseModel, source: ImageSource, recipe: MENDRecipe, out: Path, seed: int = 0) -> EditorNetwork:
    return fit.train(tiny, source, recipe, out, seed, 5, progress=False)


def curve(out: Path) -> list[dict[str, str]]:
    with out.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file))


def test_the_loss_and_its_gradient_against_one_sample_at_a_time(source: ImageSource) -> None:
    """The reference: autograd's factors by hooks on a full forward, weights put in by functional_call."""
    recipe, network = QUICK.but(others=2, edit_weight=0.3, locality_weight=0.7), lively_network()
    images, labels = failures(3)
    eval_images, _ = failures(9)
    eval_images = eval_images.view(3, 3, 3, 32, 32)
    before = MODEL(eval_images[:, 1:].flatten(0, 1)).view(3, 2, 1000)
    episodes = MENDEpisodes(tokens_of(images), labels, tokens_of(eval_images), before)
    samples = EditingSamples(BASE, source, recipe, seed=0)
    gradient = factors(MODEL, episodes.edited, labels, samples.cut, {})
    loss = weighed(*losses(apply_edit(MODEL, network, samples, episodes, gradient), episodes), recipe)
    gradients = torch.autograd.grad(loss, list(network.parameters()))

    total = torch.zeros((), dtype=torch.float64)
    for row in range(3):
        alone = factors(MODEL, episodes.edited[row : row + 1], labels[row : row + 1], samples.cut, {})
        steps = network(alone.pairs)
        weights = {name: MODEL.get_parameter(name) - steps[name][0] for name in NAMES}
        logits = torch.func.functional_call(MODEL, weights, (eval_images[row],))
        p = before[row].softmax(-1)
        divergence = (p * (p.log() - logits[1:].log_softmax(-1))).sum(-1).mean()
        total = total + (0.3 * F.cross_entropy(logits[:1], labels[row]) + 0.7 * divergence) / 3
    torch.testing.assert_close(loss, total)
    for gradient, expected in zip(gradients, torch.autograd.grad(total, list(network.parameters())), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-10)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_a_killed_run_goes_on_to_the_same_weights_and_curve(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, killed = tmp_path / "straight.safetensors", tmp_path / "killed.safetensors"
    run(tiny, source, QUICK, straight)
    real = EditingSamples.batch

    def dies(self, numbers):
        if 6 * QUICK.batch_size in numbers:  # after the checkpoint of iteration 5
            raise Killed
        return real(self, numbers)

    monkeypatch.setattr(EditingSamples, "batch", dies)
    with pytest.raises(Killed) as stop:
        run(tiny, source, QUICK, killed)
    assert how_to_go_on(stop.value) == "the same command goes on from iteration 5"
    assert load(killed, tiny.weights_sha256).metadata["iteration"] == "5"
    monkeypatch.setattr(EditingSamples, "batch", real)
    run(tiny, source, QUICK, killed)
    resumed, uninterrupted = (load(path, tiny.weights_sha256) for path in (killed, straight))
    assert resumed.metadata == uninterrupted.metadata and resumed.metadata["iteration"] == str(QUICK.iterations)
    assert resumed.recipe == QUICK
    for name, tensor in resumed.network.state_dict().items():
        assert torch.equal(tensor, uninterrupted.network.state_dict()[name]), name
    assert curve(killed) == curve(straight) and len(curve(killed)) == QUICK.iterations
    assert killed.with_suffix(".png").stat().st_size > 5000
    assert str(tmp_path) not in str(resumed.metadata)


def test_a_run_with_other_settings_is_not_gone_on_with(tiny: BaseModel, source: ImageSource, tmp_path: Path) -> None:
    out = tmp_path / "mend.safetensors"
    run(tiny, source, QUICK.but(iterations=2), out)
    with pytest.raises(UserError, match=r"its top_k is 10, yours is 5"):
        run(tiny, source, QUICK.but(iterations=2, top_k=5), out)
    with pytest.raises(UserError, match=r"its seed is 0, yours is 3"):
        run(tiny, source, QUICK.but(iterations=2), out, seed=3)


def test_it_learns_and_its_curve_says_so(tiny: BaseModel, source: ImageSource, tmp_path: Path) -> None:
    out = tmp_path / "mend.safetensors"
    run(tiny, source, QUICK.but(iterations=25, step_lr=1e-3), out)
    rows = curve(out)
    assert float(rows[-1]["held_out_loss"]) < 0.7 * float(rows[0]["held_out_loss"])
    assert {"edit_loss", "locality_loss", "carried", "kept"} <= set(rows[0])
    network = load(out, tiny.weights_sha256).network
    tokens = 25 * QUICK.batch_size * (5 + 1)  # of two blocks on five tokens, the last one has [cls] alone
    assert [editor.count.item() for editor in network.editors.values()] == [tokens, tokens]


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint_whole(
    tiny: BaseModel, source: ImageSource, tmp_path: Path
) -> None:
    out = tmp_path / "mend.safetensors"
    with pytest.raises(UserError, match=r"not finite at iteration 0; lower --lr"):
        run(tiny, source, QUICK.but(step_size=1e38), out)
    assert not out.exists() and not state_path(out).exists()
