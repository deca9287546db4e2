"""A changed copy of the base crosses as a spec only if what is built of that answers as it does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.models.load import BaseModel
from leaderboard.judging.module_spec import build, describe


@pytest.mark.parametrize(
    ("change", "crosses"),
    [
        (lambda vit: setattr(vit.norm, "eps", 0.5), True),
        (lambda vit: vars(vit.blocks[0].attn).update(num_heads=6, head_dim=4), True),
        (lambda vit: setattr(vit.blocks[1].mlp, "act", nn.ReLU()), True),
        (lambda vit: setattr(vit.blocks[1].mlp, "act", nn.LeakyReLU(0.3)), True),
        (lambda vit: setattr(vit.blocks[1].mlp, "act", nn.PReLU(init=0.4)), True),
        (lambda vit: vit.norm.register_forward_hook(lambda module, args, output: output * 2), False),
        (lambda vit: setattr(vit.head, "forward", lambda tokens: tokens[:, :1].expand(-1, 1000)), False),
        (lambda vit: setattr(vit, "head", nn.Sequential(vit.head, nn.Tanh())), False),
        (lambda vit: setattr(vit.blocks[1].mlp, "act", nn.Identity()), False),
    ],
)
def test_what_crosses_is_the_same_model(base: BaseModel, change: Callable[[Any], object], crosses: bool) -> None:
    images, edited = torch.rand(2, 3, 32, 32), copy.deepcopy(base.module)
    change(edited)
    edited.eval()
    described = describe(base.module, edited, images)
    assert (described is not None) is crosses
    if described is not None:
        built = build(base.module, *described)
        assert torch.equal(built(images), edited(images)) and not torch.equal(built(images), base.module(images))


def test_a_spec_that_says_less_than_the_model_is_none(base: BaseModel) -> None:
    """A tuple stands in no spec, and the copy of the base cannot be called with it."""
    edited = copy.deepcopy(base.module)
    edited.norm.normalized_shape = (12,)
    assert describe(base.module, edited, torch.rand(1, 3, 32, 32)) is None


@pytest.mark.parametrize(
    ("spec", "state"),
    [
        ({"classes": {"norm": "Linear"}, "settings": {}}, {}),
        ({"classes": {"norm": "torch"}, "settings": {}}, {}),
        ({"classes": {"norm": 1}, "settings": {}}, {}),
        ({"classes": {}, "settings": {"norm": {"forward": 1}}}, {}),
        ({"classes": {}, "settings": {"norm": {"_forward_hooks": 1}}}, {}),
        ({"classes": {}, "settings": {"norm": {"eps": {}}}}, {}),
        ({"classes": {}, "settings": {}}, {"norm.other": torch.ones(1)}),
    ],
)
def test_what_is_no_spec_is_refused(base: BaseModel, spec: dict, state: dict) -> None:
    with pytest.raises((ValueError, TypeError)):
        build(base.module, spec, state)
