"""Files of weights as people have them: loaded with a word on what was done, or refused with the cause."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from benchmark.core.errors import UserError
from benchmark.models.identity import hash_weights
from benchmark.models.load import load_base
from tests.conftest import small_vit

ARGUMENTS = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 6, "num_heads": 3}
CONFIG = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "crop_pct": 1.0,
          "first_conv": "patch_embed.proj", "classifier": "head", "num_classes": 1000}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in timm's layout for models of `small_vit`, with weights of seed 9."""
    return write_folder(tmp_path / "small", small_vit(seed=9).state_dict())


def write_folder(
    folder: Path, tensors: dict[str, torch.Tensor], arguments: dict[str, Any] = ARGUMENTS, **config: Any
) -> Path:
    folder.mkdir()
    note = {"architecture": "vit_tiny_patch16_224", "num_classes": 1000, "model_args": arguments,
            "pretrained_cfg": {**CONFIG, **config}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(note))
    save_file(tensors, str(folder / "model.safetensors"))
    return folder


def write(path: Path, checkpoint: Any) -> Path:
    torch.save(checkpoint, path)
    return path


def prefixed(prefix: str, seed: int = 1) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in small_vit(seed).state_dict().items()}


@pytest.mark.parametrize(
    ("checkpoint", "remark"),
    [
        (lambda: {"state_dict": prefixed(""), "state_dict_ema": prefixed("", 2)},
         'raw weights of the key "state_dict", state_dict_ema left out'),
        (lambda: {"model_ema": prefixed("", 2), "model": prefixed(""), "args": argparse.Namespace(lr=1)},
         'raw weights of the key "model", model_ema left out'),
        (lambda: {"model_ema": prefixed(""), "epoch": 3}, 'averaged weights of the key "model_ema"'),
        (lambda: {"state_dict": prefixed("model."), "optimizer_states": [{"state": {}}]}, 'prefix "model." taken off'),
        (lambda: {"model": {"state_dict": prefixed("backbone.")}}, 'prefix "backbone." taken off'),
        (lambda: prefixed("module.visual."), 'prefix "visual." taken off'),
        (lambda: {**prefixed("net."), "loss.weight": torch.ones(1000)}, "1 other entries left out"),
        (lambda: AveragedModel(small_vit(1)).state_dict(), "averaged weights"),
        (lambda: {name: tensor.bfloat16().float().bfloat16() for name, tensor in prefixed("").items()},
         "stored as bfloat16"),
    ],
)  # fmt: skip
def test_what_was_taken_is_logged_and_kept(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, checkpoint: Callable[[], Any], remark: str
) -> None:
    base = load_base(f"{folder}={write(tmp_path / 'w.pth', checkpoint())}")
    expected = small_vit(1)
    if "bfloat16" in remark:
        expected = expected.bfloat16().float()
    assert base.weights_sha256 == hash_weights(expected)
    (logged,) = caplog.records
    assert logged.levelno == logging.WARNING and remark in logged.getMessage() and remark in base.loading
    assert "images resized to 32 (bilinear, center), cut to 32 x 32, mean 0.5" in base.loading


def test_plain_weights_are_no_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="benchmark"):
        base = load_base(str(folder))
    (logged,) = caplog.records
    assert logged.levelno == logging.INFO and logged.getMessage() == f"{folder}: {base.loading}"
    assert base.loading.startswith("weights from model.safetensors; images resized")


@pytest.mark.parametrize(
    ("settings", "resampled"),
    [({"img_size": 48}, ["pos_embed"]), ({"img_size": 16, "patch_size": 8}, ["patch_embed.proj.weight"])],
)
def test_resampled_embeddings_are_named(tmp_path: Path, settings: dict[str, int], resampled: list[str]) -> None:
    folder = write_folder(tmp_path / "small", small_vit(**settings).state_dict())
    remarks = [remark for remark in load_base(str(folder)).loading.split("; ") if "resampled" in remark]
    assert [remark.split()[0] for remark in remarks] == resampled


def another_size(folder: Path) -> dict[str, torch.Tensor]:
    return small_vit(embed_dim=48).state_dict()


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "100 classes": (lambda _: small_vit(num_classes=100).state_dict(), r"head \(head.weight\) tells 100 classes apart"),
    "no head": (lambda _: {k: v for k, v in prefixed("").items() if "head" not in k}, "no head"),
    "a backbone and a head of its own": (
        lambda _: {**prefixed("backbone."), "fc.weight": torch.ones(1000, 1000)}, r'fc\.weight beside .* "backbone\."'),
    "two models": (lambda _: {**prefixed("student."), **prefixed("base.")}, r'prefixes "base\.", "student\."'),
    "two unusual sets": (lambda _: {"a": prefixed(""), "b": prefixed("")}, r"several sets of weights \(a, b\)"),
    "another width": (another_size, r"\(\d+.*\) and not \(\d+.*\); is it another architecture"),
    "another depth": (lambda _: small_vit(depth=5).state_dict(), r"12 of 80 are missing \(blocks\.5\."),
    "a whole pickled model": (lambda _: small_vit(), "holds code"),
    "a list": (lambda _: [torch.ones(2, 2)], "holds a list and no tensors by name"),
    "numbers": (lambda _: {"epoch": 3}, "no tensors by name"),
    "not a number": (lambda _: {k: v * torch.nan for k, v in prefixed("").items()}, "no finite numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_are_refused_with_the_cause(folder: Path, tmp_path: Path, case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as caught:
        load_base(f"{folder}={write(tmp_path / 'w.pth', make(folder))}")
    assert "\n" not in str(caught.value)


NO_WEIGHTS = {
    "a pointer of Git LFS": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "Git LFS",
    ),
    "a page": (lambda _: b"\n<!DOCTYPE html><html>404</html>", "HTML"),
    "JSON": (lambda _: b'{"weight_map": {}}', "JSON"),
    "nothing": (lambda _: b"", "truncated or damaged"),
    "half of safetensors": (lambda data: data[: len(data) // 2], "truncated or damaged"),
    "the head of safetensors": (lambda data: data[:40], "truncated or damaged"),
    "noise": (lambda _: bytes(range(200)), "truncated or damaged"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_files_that_hold_no_weights_are_called_what_they_are(folder: Path, case: str, suffix: str) -> None:
    make, message = NO_WEIGHTS[case]
    file = folder / f"w{suffix}"
    file.write_bytes(make((folder / "model.safetensors").read_bytes()))
    with pytest.raises(UserError, match=message):
        load_base(f"{folder}={file}")


def test_half_a_zip_is_damaged_and_arrays_of_no_vit_are_named(folder: Path, tmp_path: Path) -> None:
    import numpy as np

    file = write(tmp_path / "w.pth", prefixed(""))
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(UserError, match="truncated or damaged"):
        load_base(f"{folder}={file}")
    np.savez(tmp_path / "w.npz", **{"head/bias": np.zeros(1000)})
    with pytest.raises(UserError, match=r"of no use \(head/bias\)"):
        load_base(f"{folder}={tmp_path / 'w.npz'}")
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(file))
    with pytest.raises(UserError, match="TorchScript"):
        load_base(f"{folder}={file}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_classes": 100, "model_args": {**ARGUMENTS, "num_classes": 1000}},
            "100 classes .* model 1,000",
        ),
        ({"num_classes": 12, "pretrained_cfg": {**CONFIG, "num_classes": 12}}, "not 12"),
        ({"model_args": {**ARGUMENTS, "in_chans": 1}}, "images of 1 channels"),
        ({"pretrained_cfg": {**CONFIG, "input_size": [1, 32, 32]}}, "images of 1 channels"),
        ({"pretrained_cfg": {**CONFIG, "input_size": [3, 64, 64]}}, r"takes images of \(32, 32\).*\(64, 64\)"),
        ({"pretrained_cfg": {**CONFIG, "interpolation": "random"}}, 'interpolation "random"'),
        ({"pretrained_cfg": {**CONFIG, "crop_pct": "all"}}, "preprocessing"),
        ({"pretrained_cfg": {**CONFIG, "std": [0, 0.5, 0.5]}}, "std above 0"),
        ({"pretrained_cfg": {**CONFIG, "crop_mode": "corner"}}, 'crop mode "corner"'),
        ({"architecture": None}, "names no architecture"),
        ({"architecture": "vit_of_nobody"}, "does not load as a timm model"),
    ],
)
def test_configs_that_would_score_another_model_are_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=message):
        load_base(str(folder))


def test_a_folder_holds_one_file_of_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    assert load_base(str(folder)).loading.startswith("weights from a.safetensors")
    (folder / "b.pth").touch()
    with pytest.raises(UserError, match=r"must hold one file of weights.*not a\.safetensors, b\.pth"):
        load_base(str(folder))
    (folder / "model.safetensors.index.json").touch()
    with pytest.raises(UserError, match="in several files"):
        load_base(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        load_base(str(folder))
