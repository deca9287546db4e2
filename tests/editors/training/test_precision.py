"""Training and statistics are in float32 whatever a script asked for; with tf32, matrix products alone are rounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.core.devices import float32_settings
from editors.core.statistics import collect, last_ffn
from editors.methods.hypernetwork import fit as hypernetwork
from editors.methods.hypernetwork.bank import BankOptions
from editors.methods.ke import fit as ke
from editors.methods.mend import fit as mend
from tests.benchmark.core.test_devices import rounding
from tests.editors.conftest import training_pool
from tests.editors.methods.hypernetwork.conftest import folder, quick, source, tiny
from tests.editors.methods.ke.conftest import QUICK as KE
from tests.editors.methods.mend.conftest import QUICK as MEND

__all__ = ["folder", "rounding", "source", "tiny"]


def train_hypernetwork(precision: str, *args: Any) -> None:
    base, source, out = args
    recipe = quick("paper", form="standard", iterations=1, precision=precision)
    hypernetwork.train(base, source, recipe, BankOptions(), out, progress=False)


TRAINING: dict[str, Callable[..., Any]] = {
    "hypernetwork": lambda *args: train_hypernetwork("float32", *args),
    "hypernetwork in tf32": lambda *args: train_hypernetwork("tf32", *args),
    "ke": lambda base, source, out: ke.train(base, source, KE.but(iterations=2), out, progress=False),
    "mend": lambda base, source, out: mend.train(base, source, MEND.but(iterations=1), out, progress=False),
    "statistics": lambda base, *_: collect(base.module, training_pool(base.preprocessing), last_ffn(base.module)),
}


@pytest.mark.parametrize("name", TRAINING)
def test_float32_means_float32(
    name: str, rounding: None, tiny, source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (hypernetwork, mend):
        monkeypatch.setattr(module, "HELD_OUT", module.HELD_OUT[:4])
    before, seen = float32_settings(), []
    tiny.module.patch_embed.register_forward_pre_hook(lambda *_: seen.append(float32_settings()))
    TRAINING[name](tiny, source, tmp_path / "out.safetensors")
    tf32 = "tf32" in name
    assert seen and all(settings["cudnn.conv"] == "ieee" for settings in seen)
    assert all(settings["cuda.matmul"] == ("tf32" if tf32 else "ieee") for settings in seen)
    assert float32_settings() == before and torch.get_float32_matmul_precision() == "medium"
