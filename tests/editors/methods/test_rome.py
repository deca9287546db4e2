"""ROME: against a plain loop with hooks, and against least squares with a constraint, solved densely."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark.core.errors import UserError
from benchmark.models import vit
from editors.core import statistics
from editors.core.base import TrainingImages
from editors.core.edit import FailedEdit
from editors.methods.rome import KL_IMAGES, ROME, ROMEConfig
from tests.conftest import small_vit
from tests.editors.conftest import failures
from tests.editors.core.test_statistics import pool_of, seen_by_hooks

NAME = "blocks.5.mlp.fc2.weight"
CONFIG = ROMEConfig(lr=0.3, max_steps=60, clamp=4.0, ridge=0.01)
BOUND = ROMEConfig(lr=0.3, max_steps=12, clamp=0.2, ridge=0.01)


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingImages:
    monkeypatch.setenv(statistics.CACHE, str(tmp_path / "cache"))
    return pool_of(tmp_path, count=30)


def fitted(model, training: TrainingImages, config: ROMEConfig = CONFIG) -> ROME:
    editor = ROME(config)
    editor.fit(model, training)
    return editor


def plain_value(model, images, label, training: TrainingImages, config: ROMEConfig):
    """The descent on the value, written plainly: full forwards of a copy whose last fc2 adds d. Gives d, k, steps."""
    edited, d = copy.deepcopy(model), torch.zeros(24, dtype=torch.float64, requires_grad=True)
    edited.blocks[-1].mlp.fc2.register_forward_hook(lambda _, __, output: output + d)
    order = torch.randperm(len(training), generator=torch.Generator().manual_seed(statistics.DRAW_SEED))
    held_out = training.images(order[:KL_IMAGES].tolist()).double()
    base = F.log_softmax(model(held_out), -1)
    key = seen_by_hooks(model, model.blocks[-1].mlp.fc2, images).mean(0)
    v0 = model.blocks[-1].mlp.fc2(key).norm()
    adam = torch.optim.Adam([d], lr=config.lr)
    for step in range(config.max_steps):
        logits = edited(images)
        loss = F.cross_entropy(logits, label)
        if (logits.argmax(-1) == label).all() and loss < 0.01:
            return d.detach(), key, step, v0
        kl = F.kl_div(base, F.log_softmax(edited(held_out), -1), log_target=True, reduction="batchmean")
        adam.zero_grad()
        (loss + 0.5 * d.norm() / v0**2 + 0.0625 * kl).backward()
        adam.step()
        with torch.no_grad():
            if d.norm() > config.clamp * v0:
                d *= config.clamp * v0 / d.norm()
    return d.detach(), key, config.max_steps, v0


def constrained_least_squares(weight, seen, key, target, ridge) -> np.ndarray:
    """argmin ||W K - V||^2 with W key = target, V what `weight` gives now, as one KKT system.

    The ridge stands in K as further columns sqrt(ridge) * I, over which the weight would rather not move either.
    """
    k = np.concatenate([seen.numpy().T / np.sqrt(len(seen)), np.sqrt(ridge) * np.eye(seen.shape[1])], axis=1)
    values = weight.numpy() @ k
    size = seen.shape[1]
    kkt = np.zeros((size + 1, size + 1))
    kkt[:size, :size], kkt[:size, size], kkt[size, :size] = k @ k.T, key.numpy(), key.numpy()
    right = np.concatenate([k @ values.T, target.numpy()[None]])
    return np.linalg.solve(kkt, right)[:size].T


@pytest.mark.parametrize(("config", "samples"), [(CONFIG, 1), (BOUND, 1), (CONFIG, 2)])
def test_against_a_plain_loop_and_dense_constrained_least_squares(
    training: TrainingImages, config: ROMEConfig, samples: int
) -> None:
    model = small_vit(dtype=torch.float64)
    editor, (images, labels) = fitted(model, training, config), failures(4, samples)
    seen = seen_by_hooks(model, model.blocks[-1].mlp.fc2, training.images(range(30)).double())
    ridge = config.ridge * seen.square().mean().item()
    assert editor.provenance()["ridge"] == f"{ridge:.6g}"
    weight, fc2 = model.get_parameter(NAME), model.blocks[-1].mlp.fc2
    edits, steps = editor.edit_many(model, images, labels, [0] * 4), set()
    for edit, image, label in zip(edits, images, labels, strict=True):
        d, key, count, v0 = plain_value(model, image, label, training, config)
        assert edit.steps == count and list(edit.overrides) == [NAME]
        steps.add(count)
        new = edit.overrides[NAME]
        torch.testing.assert_close(new @ key + fc2.bias, weight @ key + fc2.bias + d, rtol=1e-9, atol=1e-9)
        dense = constrained_least_squares(weight, seen, key, weight @ key + d, ridge)
        torch.testing.assert_close(new, torch.from_numpy(dense), rtol=1e-7, atol=1e-8)
        assert d.norm() <= config.clamp * v0 * (1 + 1e-12)
        if config is BOUND:
            torch.testing.assert_close((new @ key - weight @ key).norm(), config.clamp * v0, rtol=1e-9, atol=0)
    assert config is BOUND or len(steps) > 1, "all stop together, so the stop rule is not tested"


def test_the_edited_model_does_with_the_sample_what_the_value_was_trained_to_do(training: TrainingImages) -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(3)
    edits = fitted(model, training).edit_many(model, images, labels, [0] * 3)
    for edit, image, label in zip(edits, images, labels, strict=True):
        d, *_ = plain_value(model, image, label, training, CONFIG)
        by_hand = copy.deepcopy(model)
        by_hand.blocks[-1].mlp.fc2.bias += d
        torch.testing.assert_close(vit.forward(model, image, edit.overrides), by_hand(image), rtol=1e-8, atol=1e-8)


def test_batched_equals_one_at_a_time_and_a_broken_one_fails_alone(training: TrainingImages) -> None:
    model = small_vit(dtype=torch.float64)
    editor, (images, labels) = fitted(model, training), failures(5, samples=2)
    images[1, 0, 0, 0, 0] = torch.nan
    before = copy.deepcopy(model.state_dict())
    together = editor.edit_many(model, images, labels, list(range(5)))
    assert [isinstance(edit, FailedEdit) for edit in together] == [False, True, False, False, False]
    for number in (0, 2, 3, 4):
        alone = editor.edit(model, images[number], labels[number])
        assert alone.steps == together[number].steps
        torch.testing.assert_close(alone.overrides[NAME], together[number].overrides[NAME], rtol=1e-9, atol=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_float32_gives_the_same_edit_up_to_rounding(training: TrainingImages) -> None:
    images, labels = failures(2)
    (exact, *_), (single, *_) = (
        fitted(small_vit(dtype=dtype), training, BOUND).edit_many(
            small_vit(dtype=dtype), images.to(dtype), labels, [0, 0]
        )
        for dtype in (torch.float64, torch.float32)
    )
    assert single.overrides[NAME].dtype == torch.float32
    change = exact.overrides[NAME] - small_vit(dtype=torch.float64).get_parameter(NAME)
    assert (single.overrides[NAME] - exact.overrides[NAME]).norm() < 1e-3 * change.norm()


def test_too_few_images_without_a_ridge_are_refused(training: TrainingImages) -> None:
    with pytest.raises(UserError, match=r"30 training images is singular .* \(rome:ridge=0.001\)"):
        fitted(small_vit(dtype=torch.float64), training, ROMEConfig(ridge=0.0))
