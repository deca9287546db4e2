"""GRACE against hooks on a copy of the model, against Adam on the token alone, and its radius by hand."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.data.dataset import LabelledImages
from benchmark.data.training import training_images
from benchmark.models import vit
from editors.core.base import TrainingImages
from editors.core.edit import FailedEdit, TailEdit
from editors.methods.grace import GRACE, GRACEConfig, Memory, neighbour_distance
from tests.conftest import PREPROCESSING, small_vit
from tests.editors.conftest import failures

RATES = {"lr": 0.5, "max_steps": 60}
BLOCKS = (1, 4, -1)


@pytest.fixture
def training(small_data: Path) -> TrainingImages:
    return TrainingImages(lambda: training_images(str(small_data)), PREPROCESSING, torch.device("cpu"))


def entering(model: nn.Module, block: int, images: Tensor) -> Tensor:
    """[cls] as it enters a block of a plain forward, taken by a hook, (n, N)."""
    seen: list[Tensor] = []
    handle = model.get_submodule("blocks")[block].register_forward_pre_hook(lambda _, args: seen.append(args[0][:, 0]))
    model(images)
    handle.remove()
    return seen[0]


class Hooked:
    """A copy of the model with the memory hooked in: full forwards, one image at a time."""

    def __init__(self, model: nn.Module, block: int, keys: Tensor, values: Tensor, epsilon: float) -> None:
        self.model, self.keys, self.values, self.epsilon = copy.deepcopy(model), keys, values, epsilon
        self.model.get_submodule("blocks")[block].register_forward_hook(self.replace)
        self.inside: list[bool] = []

    def replace(self, _: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        distances = [float((args[0][0, 0] - key).square().sum() ** 0.5) for key in self.keys]
        nearest = min(range(len(distances)), key=distances.__getitem__)
        self.inside.append(distances[nearest] <= self.epsilon)
        if self.inside[-1]:
            output = output.clone()
            output[0, 0] = self.values[nearest]
        return output

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self.model(image[None]) for image in images])


@pytest.mark.parametrize("block", BLOCKS)
def test_the_same_logits_as_hooks_on_a_copy_inside_and_outside_of_epsilon(block: int, training: TrainingImages) -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(2, samples=2)
    generator = torch.Generator().manual_seed(9)
    noise = torch.randn(2, 30, 3, 32, 32, generator=generator, dtype=torch.float64)
    probes = torch.cat([images, images[:, :1] + torch.linspace(0, 2, 30)[:, None, None, None] * noise], dim=1)
    measured = GRACE(GRACEConfig(block=block))
    measured.fit(model, training)
    distances = torch.stack(
        [torch.cdist(entering(model, block, p), entering(model, block, p[:2])).min(1).values for p in probes]
    )
    unit = float(measured.state_dict()["neighbour_distance"])
    editor = GRACE(GRACEConfig(**RATES, block=block, epsilon=float(distances.quantile(0.4)) / unit))
    editor.fit(model, training)
    edits = editor.edit_many(model, images, labels, [0, 0])
    for edit, own, tested, label in zip(edits, images, probes, labels, strict=True):
        assert isinstance(edit, TailEdit) and isinstance(edit.tail, Memory) and edit.cut == vit.Cut(block % 6)
        plain = Hooked(model, block, entering(model, block, own), edit.tail.values, editor.config.epsilon * unit)
        expected, inside = plain(tested), torch.tensor(plain.inside)
        assert inside[:2].all() and 6 < inside.sum() < 26
        tokens = vit.forward_prefix(model, tested, edit.cut)
        torch.testing.assert_close(edit.tail(tokens), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(edit.tail(tokens[20:]), edit.tail(tokens)[20:], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(expected[~inside], model(tested)[~inside], rtol=1e-9, atol=1e-9)
        assert (expected - model(tested)).abs().amax(1)[inside].min() > 0.1
        assert F.cross_entropy(expected[:2], label) < 0.05 * F.cross_entropy(model(own), label)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_value_is_what_adam_on_the_token_alone_finds(block: int, training: TrainingImages) -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(3, samples=2)
    editor = GRACE(GRACEConfig(**RATES, block=block))
    editor.fit(model, training)
    edits = editor.edit_many(model, images, labels, [0] * 3)
    assert len({edit.steps for edit in edits}) > 1, "all stop together, so the stop rule is not tested"
    for number, edit in enumerate(edits):
        slow = copy.deepcopy(model)
        outputs: list[Tensor] = []
        handle = slow.blocks[block].register_forward_hook(lambda _, __, output: outputs.append(output))  # noqa: B023
        slow(images[number])
        handle.remove()
        value = outputs[0][:, 0].clone().requires_grad_()

        def replace(_: nn.Module, __: tuple[Tensor], output: Tensor, value: Tensor = value) -> Tensor:
            return torch.cat([value[:, None], output[:, 1:]], dim=1)

        slow.blocks[block].register_forward_hook(replace)
        adam, steps = torch.optim.Adam([value], lr=RATES["lr"]), 0
        while steps < RATES["max_steps"]:
            logits = slow(images[number])
            loss = F.cross_entropy(logits, labels[number])
            if (logits.argmax(-1) == labels[number]).all() and loss < 0.01:
                break
            adam.zero_grad()
            loss.backward()
            adam.step()
            steps += 1
        assert isinstance(edit, TailEdit) and isinstance(edit.tail, Memory) and edit.steps == steps
        torch.testing.assert_close(edit.tail.values, value.detach(), rtol=1e-7, atol=1e-9)


def test_the_radius_by_hand() -> None:
    """Keys at the origin and at (6, 0, ...), radius 2.5: the border counts, the nearer key answers."""
    model = small_vit(dtype=torch.float64)
    keys = torch.zeros(2, 24, dtype=torch.float64)
    keys[1, 0] = 6.0
    values = torch.randn(2, 24, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    tokens = torch.zeros(5, 5, 24, dtype=torch.float64)
    tokens[:, 0, 0] = torch.tensor([2.5, 2.5 + 1e-9, 3.5 - 1e-9, 3.5, 8.0], dtype=torch.float64)
    memory = Memory(model, 5, keys, values, 2.5)
    base = vit.forward_tail(model, tokens, vit.Cut(5), {})
    replaced = model.head(model.norm(values))
    expected = torch.stack([replaced[0], base[1], base[2], replaced[1], replaced[1]])
    torch.testing.assert_close(memory(tokens), expected, rtol=1e-9, atol=1e-9)
    assert (base - replaced[0]).abs().max() > 1 and (base - replaced[1]).abs().max() > 1


def test_the_distance_by_hand_and_what_fit_says_of_it(training: TrainingImages) -> None:
    """On a line: class 0 at 0, 1, 10, class 1 at 4, 12. Nearest of the other class: 4, 3, 2, 3, 2; the median is 3."""
    line = torch.tensor([0.0, 1.0, 10.0, 4.0, 12.0], dtype=torch.float64)[:, None]
    assert neighbour_distance(line, torch.tensor([0, 0, 0, 1, 1])) == 3.0
    model, editor = small_vit(dtype=torch.float64), GRACE(GRACEConfig(block=2))
    assert editor.state_dict() == {} and editor.provenance() == {}
    editor.fit(model, training)
    cls, labels = entering(model, 2, training.images(range(6)).double()), training.labels.tolist()
    nearest = sorted(min(float((cls[i] - cls[j]).norm()) for j in range(6) if labels[j] != labels[i]) for i in range(6))
    assert editor.state_dict()["neighbour_distance"].item() == pytest.approx(nearest[2], rel=1e-9)  # the lower median
    assert editor.provenance()["training_images"] == "6" and "block 2" in editor.provenance()["statistic"]


def test_batched_equals_one_at_a_time_and_a_broken_one_fails_alone(training: TrainingImages) -> None:
    model, editor = small_vit(dtype=torch.float64), GRACE(GRACEConfig(**RATES))
    before = copy.deepcopy(model.state_dict())
    editor.fit(model, training)
    images, labels = failures(4)
    images[1, 0, 0, 0, 0] = torch.nan
    for number, edit in enumerate(editor.edit_many(model, images, labels, list(range(4)))):
        alone = editor.edit(model, images[number], labels[number])
        assert edit.steps == alone.steps
        assert type(edit) is type(alone) is (FailedEdit if number == 1 else TailEdit)
        if isinstance(edit, TailEdit):
            assert isinstance(edit.tail, Memory) and isinstance(alone.tail, Memory)
            torch.testing.assert_close(edit.tail.values, alone.tail.values, rtol=1e-9, atol=1e-12)
            assert edit.cut == vit.Cut(4), "the second last of six blocks, from 0"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_cannot_be_done_says_why(training: TrainingImages) -> None:
    model, (images, labels) = small_vit(dtype=torch.float64), failures(1)
    with pytest.raises(UserError, match="call fit first"):
        GRACE().edit(model, images[0], labels[0])
    for block in (6, 0, -6, -7):
        with pytest.raises(UserError, match="not one of 1 to 5, or -5 to -1"):
            GRACE(GRACEConfig(block=block)).fit(model, training)
    single: LabelledImages = training.samples.take([0])
    with pytest.raises(UserError, match="two classes"):
        GRACE().fit(model, TrainingImages(lambda: single, PREPROCESSING, training.device))
