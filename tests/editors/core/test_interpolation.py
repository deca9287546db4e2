"""Between the base and an edited model: the ends, the middle, added neurons, and what has no middle."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from benchmark.core.errors import UserError
from benchmark.models import vit
from editors.core.edit import FailedEdit, ModuleEdit, TailEdit, WeightEdit
from editors.core.interpolation import interpolated
from tests.conftest import small_vit

MODEL = small_vit(dtype=torch.float64, depth=2)
IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def logits(edit: WeightEdit) -> torch.Tensor:
    return vit.forward(MODEL, IMAGES, edit.overrides)


@torch.no_grad()
def test_equal_shapes_are_the_weighted_mean_of_two_models() -> None:
    """Against averaged parameters in a copy of the model."""
    random = torch.Generator().manual_seed(2)
    names = [*vit.ffn_matrices(MODEL), "head.bias"]
    edit = WeightEdit(
        {n: (p := MODEL.get_parameter(n)) + torch.randn(p.shape, generator=random) for n in names}, steps=3
    )
    mean = copy.deepcopy(MODEL)
    for name in names:
        mean.get_parameter(name).copy_(0.75 * MODEL.get_parameter(name) + 0.25 * edit.overrides[name])
    between = interpolated(MODEL, edit, 0.25)
    assert between.steps == 3
    torch.testing.assert_close(logits(between), mean(IMAGES))
    torch.testing.assert_close(logits(interpolated(MODEL, edit, 0.0)), MODEL(IMAGES))
    torch.testing.assert_close(logits(interpolated(MODEL, edit, 1.0)), logits(edit))


@torch.no_grad()
def test_of_an_added_neuron_only_the_value_is_scaled() -> None:
    """Hand-worked: the last FFN's output gains alpha * gelu(key x + b) * value, whatever alpha."""
    key, bias, value = torch.randn(24).double(), torch.randn(1).double(), torch.randn(24).double()
    mlp = MODEL.blocks[1].mlp
    edit = WeightEdit(
        {
            "blocks.1.mlp.fc1.weight": torch.cat([mlp.fc1.weight, key[None]]),
            "blocks.1.mlp.fc1.bias": torch.cat([mlp.fc1.bias, bias]),
            "blocks.1.mlp.fc2.weight": torch.cat([mlp.fc2.weight, value[:, None]], dim=1),
        }
    )
    hooked = copy.deepcopy(MODEL)
    for alpha in (0.0, 0.3, 1.0):
        handle = hooked.blocks[1].mlp.register_forward_hook(
            lambda module, inputs, output, alpha=alpha: (
                output + alpha * F.gelu(inputs[0] @ key + bias)[..., None] * value
            )
        )
        torch.testing.assert_close(logits(interpolated(MODEL, edit, alpha)), hooked(IMAGES))
        handle.remove()


def test_what_has_no_middle() -> None:
    failed = FailedEdit("overflow", steps=3)
    assert interpolated(MODEL, failed, 0.5) is failed
    for edit in (ModuleEdit(MODEL), TailEdit(lambda tokens: tokens, vit.Cut(1))):
        with pytest.raises(UserError, match="nothing to interpolate"):
            interpolated(MODEL, edit, 0.5)
