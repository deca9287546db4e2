"""The identity of a base model: what changes it, what does not, and the probe beside it."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.data.dataset import Benchmark
from benchmark.models.identity import (
    TOLERANCE,
    describe_architecture,
    hash_weights,
    model_identity,
    probe_image,
    probe_logits,
    probes_agree,
)
from benchmark.models.load import BaseModel, load_base
from benchmark.models.names import folder_of
from benchmark.predict.benchmark import predict_samples
from tests.conftest import PREPROCESSING, small_vit

ROOT = Path(__file__).parents[3]
EXPECTED = "import sys; from benchmark.models.load import load_base; print(load_base('mini').identity)"


def changed(**attributes: object) -> nn.Module:
    """The small ViT with plain attributes of one of its parts set, "part.name" by "__"."""
    model = small_vit()
    for path, value in attributes.items():
        part, _, name = path.replace("__", ".").rpartition(".")
        setattr(model.get_submodule(part), name, value)
    return model


@pytest.mark.parametrize(
    "other",
    [
        {"blocks__2__attn__num_heads": 4},
        {"blocks__2__attn__scale": 0.5},
        {"norm__eps": 1e-5},
        {"blocks__0__norm1__eps": 1e-5},
        {"blocks__1__mlp__act": nn.ReLU()},
        {"blocks__1__mlp__act": nn.GELU(approximate="tanh")},
        {"global_pool": "avg"},
        {"no_embed_class": True},
        {"head__forward": F.relu},
        {"blocks__0__ls1": nn.Hardtanh()},
    ],
    ids=lambda other: next(iter(other)),  # not the values: a function's text holds its address
)
def test_whatever_is_computed_otherwise_is_another_model(other: dict[str, object]) -> None:
    """Of all of them the weights are equal, and of most what `repr` shows."""
    model = changed(**other)
    assert hash_weights(model) == hash_weights(small_vit())
    assert model_identity(model, PREPROCESSING) != model_identity(small_vit(), PREPROCESSING)


@pytest.mark.parametrize(("name", "value"), [("size", 48), ("resize", 40), ("interpolation", "bilinear"),
                                             ("mean", (0.5, 0.5, 0.4)), ("std", (0.2, 0.5, 0.5))])  # fmt: skip
def test_preprocessing_is_part_of_it(name: str, value: object) -> None:
    other = dataclasses.replace(PREPROCESSING, **{name: value})
    assert model_identity(small_vit(), other) != model_identity(small_vit(), PREPROCESSING)


def test_weights_and_precision_are_part_of_it() -> None:
    models = [small_vit(), small_vit(seed=1), small_vit(dtype=torch.float64), small_vit(dtype=torch.bfloat16)]
    assert len({model_identity(model, PREPROCESSING) for model in models}) == 4


def test_what_belongs_to_a_machine_or_a_moment_is_not() -> None:
    """The fused kernel, training mode, gradients and hooks: the model they are found in is the same."""
    model = small_vit()
    before = model_identity(model, PREPROCESSING)
    for block in model.blocks:
        block.attn.fused_attn = not block.attn.fused_attn
    model.train().requires_grad_(True)
    model.head.register_forward_hook(lambda module, inputs, output: output)
    assert model_identity(model, PREPROCESSING) == before


def test_it_is_the_same_in_another_process_and_folder(tmp_path: Path) -> None:
    shutil.copytree(folder_of("mini"), tmp_path / "copy")
    here = load_base("mini").identity
    assert load_base(str(tmp_path / "copy")).identity == here
    words = [sys.executable, "-c", EXPECTED]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "TIMM_FUSED_ATTN": "0", "HF_HUB_OFFLINE": "1"}
    assert subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout.strip() == here


@pytest.mark.gpu
def test_it_is_the_same_on_a_gpu() -> None:
    assert load_base("mini", device="cuda").identity == load_base("mini").identity


def test_attributes_are_described_as_plain_values() -> None:
    """Functions and types by full name, floats without the bits that a machine's power function decides."""
    model = nn.Identity()
    model.function, model.kind, model.nothing = F.silu, nn.ReLU, None
    model.partial, model.pair = functools.partial(F.elu, alpha=0.5), (1, [2.0, "three"])
    model.close, model.table = 1 / 3 + 1e-16, {"a": "b"}
    assert json.loads(json.dumps(describe_architecture(model))) == {
        "": {
            "": "torch.nn.modules.linear.Identity",
            "function": "torch.nn.functional.silu",
            "kind": "torch.nn.modules.activation.ReLU",
            "partial": ["torch.nn.functional.elu", [], ["alpha", "0.5"]],
            "pair": [1, ["2", "three"]],
            "close": "0.333333333333",
        }
    }


def test_predictions_of_another_architecture_are_not_reused(base: BaseModel, small_benchmark: Benchmark) -> None:
    images = small_benchmark.locality
    stored = predict_samples(base, images)["base_label"].tolist()
    other = BaseModel("small", changed(**{f"blocks__{n}__mlp__act": nn.Tanh() for n in range(6)}), PREPROCESSING, "")
    fresh = predict_samples(other, images, use_store=False)["base_label"].tolist()
    assert fresh != stored and predict_samples(other, images)["base_label"].tolist() == fresh


def test_the_probe_is_a_picture_and_its_ten_largest_logits() -> None:
    image = probe_image(PREPROCESSING)
    assert image.shape == (1, 3, 32, 32) and image.dtype == torch.float32
    assert image.min() >= -1 and image.max() <= 1 and image.std() > 0.4
    assert image[0, 1, 2, 3].item() == pytest.approx(((2 * 4 + 3 * 6 + 2 * 3 // 6 + 31) % 256 / 255 - 0.5) / 0.5)
    logits = small_vit()(image)[0]
    probe = probe_logits(small_vit(), PREPROCESSING)
    assert list(probe) == logits.topk(10).indices.tolist()
    assert list(probe.values()) == pytest.approx(logits.topk(10).values.tolist(), abs=1e-5)


def test_probes_are_compared_and_not_hashed() -> None:
    probe = probe_logits(small_vit(), PREPROCESSING)
    close = TOLERANCE * max(probe.values())
    assert probes_agree(probe, {label: value + close / 2 for label, value in probe.items()})
    assert not probes_agree(probe, {label: value + 2 * close for label, value in probe.items()})
    first, second, *rest = probe
    swapped = {first: probe[second], second: probe[first], **{label: probe[label] for label in rest}}
    assert not probes_agree(probe, swapped)
    last = list(probe)[-1]
    tied = {label: value for label, value in probe.items() if label != last} | {999: probe[last]}
    assert probes_agree(probe, tied), "two classes that tie for the last place may change places"
    assert not probes_agree(probe, probe_logits(changed(blocks__3__mlp__act=nn.ReLU()), PREPROCESSING))
