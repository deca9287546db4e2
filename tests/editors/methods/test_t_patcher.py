"""T-Patcher: the wider FFN against one built by hand, its losses and its training against plain loops."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.models import vit
from editors.core import statistics
from editors.core.base import TrainingImages
from editors.core.edit import FailedEdit, WeightEdit
from editors.methods.t_patcher import TPatcher, TPatcherConfig, neuron_losses, new_neurons, widened
from tests.conftest import small_vit
from tests.editors.conftest import failures
from tests.editors.core.test_statistics import pool_of, seen_by_hooks

CONFIG = TPatcherConfig(lr=0.1, max_steps=40, memory_weight=0.01)


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingImages:
    monkeypatch.setenv(statistics.CACHE, str(tmp_path / "cache"))
    return pool_of(tmp_path, count=30)


def fitted(model, training: TrainingImages, config: TPatcherConfig = CONFIG) -> TPatcher:
    editor = TPatcher(config)
    editor.fit(model, training)
    return editor


def random_neurons(count: int, width: int = 24) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = {"key": width, "bias": 1, "value": width, "multiplier": width}
    return {k: torch.randn(count, n, generator=generator, dtype=torch.float64) for k, n in shapes.items()}


def plain_losses(key, bias, inputs, memory, weight: float):
    """The three losses of one neuron with sorted lists; differentiable."""
    a = [x @ key + bias for x in inputs]
    q = [x @ key + bias for x in memory]

    def mean_of_top(values: list, count: int):
        top = sorted(values, key=lambda value: value.item(), reverse=True)[:count]
        return sum(top) / len(top)

    l_a = mean_of_top([torch.exp(-activation) for activation in a], 5)
    l_m1 = mean_of_top([torch.exp(seen - activation + 3) for activation in a for seen in q], 1000)
    l_m2 = mean_of_top([torch.exp(seen + 3) for seen in q], 1000)
    return 1.0 * l_a + weight * (l_m1 + l_m2)


@pytest.mark.parametrize(("samples", "seen"), [(1, 40), (7, 200), (2, 1100)])
def test_losses_against_sorted_lists(samples: int, seen: int) -> None:
    generator = torch.Generator().manual_seed(8)
    neurons, memory = random_neurons(2), 0.2 * torch.randn(seen, 24, generator=generator, dtype=torch.float64)
    inputs = torch.randn(2, samples, 24, generator=generator, dtype=torch.float64)
    losses = neuron_losses(neurons, inputs, memory, 5.0)
    for number, loss in enumerate(losses):
        key, bias = neurons["key"][number], neurons["bias"][number, 0]
        torch.testing.assert_close(loss, plain_losses(key, bias, inputs[number], memory, 5.0), rtol=1e-12, atol=0)


def test_overrides_are_an_ffn_with_one_unit_more() -> None:
    model = small_vit(dtype=torch.float64)
    images, neurons = failures(6)[0].flatten(0, 1), random_neurons(2)
    wide = widened(model, neurons)
    for number in range(2):
        by_hand = copy.deepcopy(model)
        mlp = by_hand.blocks[-1].mlp
        old1, old2, mlp.fc1, mlp.fc2 = mlp.fc1, mlp.fc2, nn.Linear(24, 97).double(), nn.Linear(97, 24).double()
        with torch.no_grad():
            mlp.fc1.weight[:96], mlp.fc1.bias[:96], mlp.fc2.weight[:, :96] = old1.weight, old1.bias, old2.weight
            mlp.fc2.bias[:] = old2.bias
            mlp.fc1.weight[96], mlp.fc1.bias[96] = neurons["key"][number], neurons["bias"][number, 0]
            mlp.fc2.weight[:, 96] = neurons["value"][number] * neurons["multiplier"][number]
        own = {name: value[number] for name, value in wide.items()}
        cut = vit.cut_for(model, own)
        ours = vit.forward_tail(model, vit.forward_prefix(model, images, cut), cut, own)
        torch.testing.assert_close(ours, by_hand(images), rtol=1e-10, atol=1e-10)
        assert (ours - model(images)).abs().max() > 0.1


class Patched(nn.Module):
    """An FFN and, added to what it gives, one neuron."""

    def __init__(self, mlp: nn.Module, x: torch.Tensor, seed: int) -> None:
        super().__init__()
        drawn = torch.randn(24, generator=torch.Generator().manual_seed(seed)).double()
        self.mlp, self.key = mlp, nn.Parameter(x / x.norm() ** 2)
        self.bias, self.value = nn.Parameter(torch.zeros((), dtype=torch.float64)), nn.Parameter(drawn)
        self.multiplier = nn.Parameter(torch.full((24,), 10.0, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fires = F.gelu(x @ self.key + self.bias)
        return self.mlp(x) + fires[..., None] * (self.value * self.multiplier)


def plain_training(model, images, label, memory, seed: int):
    edited = copy.deepcopy(model)
    inputs = seen_by_hooks(model, model.blocks[-1].mlp.fc1, images)
    patch = edited.blocks[-1].mlp = Patched(edited.blocks[-1].mlp, inputs.mean(0), seed)
    neuron = [patch.key, patch.bias, patch.value, patch.multiplier]
    adam, norms = torch.optim.Adam(neuron, lr=CONFIG.lr, weight_decay=0.01), []
    for step in range(CONFIG.max_steps):
        logits = edited(images)
        loss = F.cross_entropy(logits, label)
        if (logits.argmax(-1) == label).all() and loss < 0.01:
            return patch, step, norms
        adam.zero_grad()
        (loss + plain_losses(patch.key, patch.bias, inputs, memory, CONFIG.memory_weight)).backward()
        norms.append(nn.utils.clip_grad_norm_(neuron, 5.0).item())  # of this edit alone, as the released code does
        adam.step()
    return patch, CONFIG.max_steps, norms


@pytest.mark.parametrize("samples", [1, 2])
def test_training_against_a_plain_loop(training: TrainingImages, samples: int) -> None:
    model = small_vit(dtype=torch.float64)
    editor, (images, labels) = fitted(model, training), failures(4, samples)
    memory = seen_by_hooks(model, model.blocks[-1].mlp.fc1, training.images(range(30)).double())
    edits, steps, norms = editor.edit_many(model, images, labels, [5, 6, 7, 8]), set(), []
    for number, edit in enumerate(edits):
        patch, count, seen = plain_training(model, images[number], labels[number], memory, 5 + number)
        norms += seen
        assert isinstance(edit, WeightEdit) and edit.steps == count
        steps.add(count)
        close = {"rtol": 1e-7, "atol": 1e-9}
        fc1, bias, fc2 = (edit.overrides[f"blocks.5.mlp.{name}"] for name in ("fc1.weight", "fc1.bias", "fc2.weight"))
        torch.testing.assert_close(fc1[96], patch.key.detach(), **close)
        torch.testing.assert_close(bias[96], patch.bias.detach(), **close)
        torch.testing.assert_close(fc2[:, 96], (patch.value * patch.multiplier).detach(), **close)
        mlp = model.blocks[-1].mlp
        assert torch.equal(fc1[:96], mlp.fc1.weight) and torch.equal(bias[:96], mlp.fc1.bias)
        assert torch.equal(fc2[:, :96], mlp.fc2.weight)
    assert max(norms) > 5 > min(norms), "the clip is not tested"
    assert samples > 1 or len(steps) > 1, "all stop together, so the stop rule is not tested"


def test_a_new_neuron_fires_with_one_at_its_sample() -> None:
    inputs = torch.randn(3, 2, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    neurons = new_neurons(inputs, [4, 5, 4])
    fires = (neurons["key"] * inputs.mean(1)).sum(1) + neurons["bias"][:, 0]
    torch.testing.assert_close(fires, torch.ones(3, dtype=torch.float64))
    assert torch.equal(neurons["value"][0], neurons["value"][2]), "the seed gives the value"
    assert not torch.equal(neurons["value"][0], neurons["value"][1])


def test_batched_equals_one_at_a_time_and_a_broken_one_fails_alone(training: TrainingImages) -> None:
    model = small_vit(dtype=torch.float64)
    editor, (images, labels) = fitted(model, training), failures(5)
    images[1, 0, 0, 0, 0] = torch.nan
    before = copy.deepcopy(model.state_dict())
    together = editor.edit_many(model, images, labels, list(range(5)))
    assert [isinstance(edit, FailedEdit) for edit in together] == [False, True, False, False, False]
    for number in (0, 2, 3, 4):
        alone = editor.edit_many(model, images[number][None], labels[number][None], [number])[0]
        assert alone.steps == together[number].steps
        for name, value in alone.overrides.items():
            torch.testing.assert_close(value, together[number].overrides[name], rtol=1e-9, atol=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_exponential_that_overflows_is_a_failed_edit(training: TrainingImages) -> None:
    """The cross-entropy stays finite at first; the gradient of the other losses is what breaks."""
    model = small_vit(dtype=torch.float64)
    images, labels = failures(4)
    editor = fitted(model, training, TPatcherConfig(lr=1e4, max_steps=2))
    edits = editor.edit_many(model, images, labels, [0, 1, 2, 3])
    assert all(isinstance(edit, FailedEdit) and edit.steps == 2 for edit in edits)
    neurons = {k: v + 1e4 for k, v in random_neurons(1).items()}
    assert math.isinf(neuron_losses(neurons, torch.ones(1, 1, 24).double(), torch.ones(3, 24).double(), 5.0).item())


def test_edit_alone_draws_from_torchs_own_seed(training: TrainingImages) -> None:
    model = small_vit()
    editor, (images, labels) = fitted(model, training, TPatcherConfig(max_steps=1)), failures(1)
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(editor.edit(model, images[0].float(), labels[0]).overrides["blocks.5.mlp.fc2.weight"])
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])
