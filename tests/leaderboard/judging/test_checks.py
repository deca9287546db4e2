"""An editor that touches its base, or what surrounds it, is named, or leaves no trace."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from benchmark.core.errors import UserError
from leaderboard.judging.checks import Snapshot
from tests.conftest import small_vit


def add_buffer(vit: VisionTransformer) -> None:
    vit.blocks[1].register_buffer("scale", torch.ones(2), persistent=False)


CHANGES: dict[str, Callable[[VisionTransformer], object]] = {
    "head.bias": lambda vit: vit.head.bias.data.add_(1e-6),
    "norm.weight": lambda vit: setattr(vit.norm, "weight", nn.Parameter(vit.norm.weight.detach().clone())),
    "blocks.1.scale": add_buffer,
    "a hook of blocks.3": lambda vit: vit.blocks[3].register_forward_hook(lambda module, args, output: output * 0),
    "a hook of blocks.2.mlp.fc1": lambda vit: vit.blocks[2].mlp.fc1.register_full_backward_pre_hook(lambda *_: None),
    "blocks.2.mlp.act": lambda vit: setattr(vit.blocks[2].mlp, "act", nn.GELU()),
    "blocks.0.norm1": lambda vit: setattr(vit.blocks[0].norm1, "__class__", type("Other", (nn.LayerNorm,), {})),
    "blocks.4.norm2.eps": lambda vit: setattr(vit.blocks[4].norm2, "eps", 0.1),
    "blocks.0.attn.num_heads": lambda vit: setattr(vit.blocks[0].attn, "num_heads", 6),
    "head.forward": lambda vit: setattr(vit.head, "forward", lambda tokens: tokens),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_named(vit: VisionTransformer, name: str) -> None:
    snapshot = Snapshot(vit)
    snapshot.compare("mine")
    CHANGES[name](vit)
    with pytest.raises(UserError, match=f"mine changed the base model: {name} is not as it was"):
        snapshot.compare("mine", full=True)
    with pytest.raises(UserError, match="mine changed the base model"):
        snapshot.compare("mine")


@pytest.mark.parametrize("full", [False, True])
def test_hooks_and_functions_that_every_module_meets(
    vit: VisionTransformer, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = Snapshot(vit)
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: output)
    with pytest.raises(UserError, match="a hook of all modules"):
        snapshot.compare("mine", full)
    handle.remove()
    snapshot.compare("mine", full)
    monkeypatch.setattr(torch.nn.functional, "softmax", torch.nn.functional.softmin)
    with pytest.raises(UserError, match=r"torch\.nn\.functional\.softmax"):
        snapshot.compare("mine", full)


def test_switches_settings_and_random_states_are_put_back(vit: VisionTransformer, tmp_path: Path) -> None:
    snapshot, folder, path = Snapshot(vit), Path.cwd(), os.environ["PATH"]
    drawn = random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
    vit.train().requires_grad_(True)
    vit.head(torch.ones(1, 24)).sum().backward()
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    np.seterr(all="raise")
    os.chdir(tmp_path)
    os.environ.update(PATH="", EXTRA="1")

    snapshot.restore()
    snapshot.compare("mine", full=True)
    assert not any(part.training for part in vit.modules())
    assert not any(value.requires_grad or value.grad is not None for value in vit.parameters())
    assert (random.random(), np.random.rand(), torch.rand(())) == drawn  # noqa: NPY002
    assert torch.get_default_dtype() == torch.float32 and torch.get_float32_matmul_precision() == "highest"
    assert not torch.are_deterministic_algorithms_enabled() and torch.is_grad_enabled()
    assert torch.get_num_threads() == threads and np.geterr()["over"] == "warn"
    assert Path.cwd() == folder and os.environ["PATH"] == path and "EXTRA" not in os.environ


def test_a_base_that_was_only_used_is_as_it_was() -> None:
    vit = small_vit()
    snapshot = Snapshot(vit)
    vit(torch.rand(2, 3, 32, 32))
    snapshot.compare("mine", full=True)
