"""Base models by every way of naming one, and what is said when one cannot be had."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

from benchmark.core.errors import UserError
from benchmark.images.decode import Preprocessing
from benchmark.models.identity import hash_weights
from benchmark.models.load import RELEASED, load_base
from tests.conftest import small_vit

TINY = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model(TINY).state_dict(), str(path))
    return path


def test_a_local_file_stands_in_for_the_download(tiny_file: Path) -> None:
    for base in (load_base(f"{TINY}={tiny_file}"), load_base(TINY, weights=tiny_file)):
        assert base.name == TINY and base.precision == "float32"
        assert not base.module.training and not any(p.requires_grad for p in base.module.parameters())
        torch.manual_seed(3)
        assert base.weights_sha256 == hash_weights(timm.create_model(TINY))
        assert base.preprocessing.resize == 248 and base.preprocessing.interpolation == "bicubic"  # timm's crop_pct .9


def test_a_folder_in_timms_layout(tmp_path: Path) -> None:
    model = small_vit()
    save_file(model.state_dict(), str(tmp_path / "model.safetensors"))
    arguments = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 6, "num_heads": 3}
    config = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}
    architecture = {"architecture": TINY, "num_classes": 1000, "model_args": arguments,
             "pretrained_cfg": {**config, "crop_pct": 1.0, "fixed_input_size": True}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(architecture))
    base = load_base(str(tmp_path))
    assert base.weights_sha256 == hash_weights(model)
    other = small_vit(seed=1)
    save_file(other.state_dict(), str(tmp_path / "other.safetensors"))
    assert load_base(f"{tmp_path}={tmp_path / 'other.safetensors'}").weights_sha256 == hash_weights(other)
    assert base.preprocessing == Preprocessing(32, 32, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("model_args", "depth", 10**6, "depth must be at most 256, not 1,000,000"),
        ("model_args", "embed_dim", 10**9, "embed_dim must be at most 131,072"),
        ("model_args", "img_size", 10**6, "img_size must be at most 131,072"),
        ("model_args", "img_size", 100_000, "takes images of"),
        ("model_args", "embed_dim", 99_999, "do not load|does not load"),
        ("pretrained_cfg", "input_size", [3, 10**6, 10**6], "more than 2,048 pixels a side"),
        ("pretrained_cfg", "crop_pct", 1e-6, "more than 2,048 pixels a side"),
        ("pretrained_cfg", "crop_pct", "text", "no preprocessing that can be read"),
        ("pretrained_cfg", "crop_pct", float("nan"), "no preprocessing that can be read"),
        ("pretrained_cfg", "std", [0, 0.5, 0.5], "std above 0"),
        ("pretrained_cfg", "std", [-1, 0.5, 0.5], "std above 0"),
        ("pretrained_cfg", "mean", ["a", 0, 0], "no preprocessing that can be read"),
        ("pretrained_cfg", "interpolation", [1], "is not supported"),
        ("pretrained_cfg", "first_conv", "nowhere", "nowhere"),
        ("pretrained_cfg", "first_conv", 3, "first_conv must be the name of a layer, not 3"),
        ("pretrained_cfg", "classifier", -1, "classifier must be the name of a layer, not -1"),
        ("pretrained_cfg", "classifier", [["head"]], "classifier must be the name of a layer"),
        ("pretrained_cfg", "classifier", {"head": 1}, "classifier must be the name of a layer"),
        ("pretrained_cfg", "label_offset", "one", "label_offset must be a whole number, not 'one'"),
    ],
)
def test_what_a_config_must_not_ask_for(section: str, key: str, value: object, message: str, tmp_path: Path) -> None:
    save_file(small_vit().state_dict(), str(tmp_path / "model.safetensors"))
    arguments = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 6, "num_heads": 3}
    preprocessing = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9}
    config = {"architecture": TINY, "num_classes": 1000, "model_args": arguments, "pretrained_cfg": preprocessing}
    config[section][key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        load_base(str(tmp_path))


def test_another_label_space_is_refused(tmp_path: Path) -> None:
    """A class without a synset among the 1,000 would be mistaken for one that has it."""
    model = timm.create_model(TINY, num_classes=12)
    save_file(model.state_dict(), str(tmp_path / "model.safetensors"))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": TINY, "num_classes": 12}))
    with pytest.raises(UserError, match="classes of ImageNet-1k, not 12;"):
        load_base(str(tmp_path))


def test_the_papers_preprocessing_is_not_timms() -> None:
    """SPEC, 1: short side to 256 bilinear, centre 224, mean = std = 0.5; against torchvision by hand."""
    import numpy as np
    from torchvision.transforms import functional as F

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    by_hand = F.center_crop(F.resize(image, 256, F.InterpolationMode.BILINEAR), [224, 224])
    by_hand = (F.to_tensor(by_hand) - 0.5) / 0.5
    torch.testing.assert_close(RELEASED(image), by_hand)


def test_other_models_are_preprocessed_as_timm_does() -> None:
    import numpy as np

    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (260, 333, 3), dtype=np.uint8))
    model = timm.create_model("vit_base_patch16_clip_224.openai_ft_in1k", depth=1)
    config = resolve_data_config({}, model=model)
    torch.testing.assert_close(
        Preprocessing.from_timm(config)(image), create_transform(**config, is_training=False)(image)
    )


def test_weights_that_do_not_fit_or_are_code_are_refused(tmp_path: Path, tiny_file: Path) -> None:
    with pytest.raises(UserError, match="do not load into vit_small"):
        load_base("vits16", weights=tiny_file)

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "pwned",)

    evil = tmp_path / "model.pth"
    evil.write_bytes(pickle.dumps({"state_dict": Evil()}))
    with pytest.raises(UserError, match="do not load"):
        load_base(f"{TINY}={evil}")
    torch.save({"head.weight": Evil()}, evil)
    with pytest.raises(UserError, match="do not load"):
        load_base(f"{TINY}={evil}")
    assert not (tmp_path / "pwned").exists()


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UserError, match='did you mean "clip-vitb16"'):
        load_base("clip-vit-b16")
    with pytest.raises(UserError, match='did you mean "vit_tiny_patch16_224"'):
        load_base("vit_tiny_patch16_223")


@pytest.mark.parametrize("name", ["mini", "mini-strong"])
def test_the_embedded_models_load_as_any_timm_model(name: str) -> None:
    from benchmark.models.names import folder_of

    base = load_base(name)
    theirs = timm.create_model(f"local-dir:{folder_of(name)}", pretrained=True)
    assert hash_weights(theirs) == base.weights_sha256
    assert base.module.head.out_features == 1000 and base.preprocessing.size == 64
