"""Sensitivities against plain autograd on a copy of the model, and as the estimate they claim to be."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from benchmark.models import vit
from editors.core.edit import FailedEdit
from editors.methods import spt
from editors.methods.masked import MaskedConfig
from editors.methods.spt import SPT
from tests.conftest import small_vit
from tests.editors.conftest import failures


def plain_gradients(model, images: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    """Of the mean loss of one failure's samples, by a full forward of a copy of the model."""
    copied = copy.deepcopy(model)
    parameters = [copied.get_parameter(name).requires_grad_() for name in vit.ffn_matrices(model)]
    F.cross_entropy(copied(images), labels).backward()
    return [parameter.grad for parameter in parameters]


@pytest.mark.parametrize("at_once", [1, 2, 32])
def test_against_plain_autograd_unit_by_unit(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_vit(dtype=torch.float64)
    monkeypatch.setattr(spt, "edits_that_fit", lambda *_: at_once)
    images, labels = failures(3, samples=2, seed=6)
    scores = SPT().scores(model, images, labels, [0, 1, 2])
    assert scores.shape == (3, 6, vit.hidden_width(model))
    for number in range(3):
        for layer, gradient in enumerate(plain_gradients(model, images[number], labels[number])):
            for unit in range(scores.shape[2]):
                own = gradient[unit] if layer % 2 == 0 else gradient[:, unit]  # fc1 row, fc2 column
                expected = sum(value**2 for value in own.tolist())
                assert scores[number, layer, unit].item() == pytest.approx(expected, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("layer", [0, 3])
def test_a_gradient_step_of_one_unit_lowers_the_loss_by_its_sensitivity(layer: int) -> None:
    """Finite differences: (loss(w) - loss(w - step * g)) / step is the sum of g^2, up to terms of order step."""
    model = small_vit(dtype=torch.float64)
    images, labels = failures(1, seed=6)
    scores = SPT().scores(model, images, labels, [0])
    name = vit.ffn_matrices(model)[layer]
    unit = int(scores[0, layer].argmax())
    gradient = plain_gradients(model, images[0], labels[0])[layer]
    rows = (slice(unit, unit + 1), slice(None)) if layer % 2 == 0 else (slice(None), slice(unit, unit + 1))

    def loss(step: float) -> float:
        copied = copy.deepcopy(model)
        copied.get_parameter(name)[rows] -= step * gradient[rows]
        return F.cross_entropy(copied(images[0]), labels[0]).item()

    estimate = (loss(-1e-5) - loss(1e-5)) / 2e-5  # central: the next term is of order step^2
    assert scores[0, layer, unit].item() > 1e-3
    assert estimate == pytest.approx(scores[0, layer, unit].item(), rel=1e-5)


@pytest.mark.parametrize(("sparsity", "kept"), [(0.95, 29), (0.5, 288)])
def test_the_most_sensitive_units_move_and_nothing_else(sparsity: float, kept: int) -> None:
    model = small_vit(dtype=torch.float64)
    before = copy.deepcopy(model.state_dict())
    images, labels = failures(2, seed=6)
    editor = SPT(MaskedConfig(lr=0.01, max_steps=3, sparsity=sparsity))
    for number, edit in enumerate(editor.edit_many(model, images, labels, [0, 1])):
        gradients = plain_gradients(model, images[number], labels[number])
        scores = torch.stack([g.square().sum(1 - layer % 2) for layer, g in enumerate(gradients)])
        expected = set(scores.flatten().topk(kept).indices.tolist())
        deltas = [weight != model.get_parameter(name) for name, weight in edit.overrides.items()]
        moved = torch.stack([delta.any(1 - layer % 2) for layer, delta in enumerate(deltas)])
        assert set(moved.flatten().nonzero().flatten().tolist()) == expected
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_batched_equals_one_at_a_time() -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(5, samples=2, seed=6)
    editor = SPT(MaskedConfig(lr=0.002, max_steps=30, sparsity=0.75))
    masks = editor.masks(model, images, labels, [0] * 5)
    for number, edit in enumerate(editor.edit_many(model, images, labels, [0] * 5)):
        alone = editor.edit(model, images[number], labels[number])
        own = editor.masks(model, images[number, None], labels[number, None], [0])
        assert alone.steps == edit.steps
        for name, weight in edit.overrides.items():
            assert torch.equal(masks[name][number], own[name][0])
            torch.testing.assert_close(weight, alone.overrides[name], rtol=1e-9, atol=1e-12)


def test_an_image_that_is_not_finite_fails_alone() -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(3, seed=6)
    images[1, 0, 0, 0, 0] = torch.nan
    editor = SPT(MaskedConfig(lr=0.01, max_steps=2, sparsity=0.9))
    edits = editor.edit_many(model, images, labels, [0, 1, 2])
    assert isinstance(edits[1], FailedEdit) and "not finite" in edits[1].reason
    alone = editor.edit(model, images[2], labels[2])
    for name, weight in edits[2].overrides.items():
        torch.testing.assert_close(weight, alone.overrides[name], rtol=1e-9, atol=1e-12)
