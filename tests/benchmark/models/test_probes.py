"""Linear probes: a head of the package on a backbone from elsewhere, which no test needs but those at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from benchmark.core.errors import UserError
from benchmark.models import probes
from benchmark.models.load import load_base, random_base
from benchmark.models.names import PROBES, folder_of
from tests.conftest import small_vit

SMALL = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 6, "num_heads": 3}


def backbone(seed: int = 1) -> dict[str, torch.Tensor]:
    """A backbone's tensors as the Hub has them: without a head, and with a position embedding of another size."""
    tensors = {name: t for name, t in small_vit(seed).state_dict().items() if not name.startswith("head.")}
    return {**tensors, "pos_embed": torch.randn(1, 17, 24), probes.UNUSED: torch.zeros(1, 24)}


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """A probe's folder: the head and position embedding of seed 2, for the backbone of seed 1."""
    folder = tmp_path / "probe"
    folder.mkdir()
    config = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear",
              "crop_pct": 1.0, "first_conv": "patch_embed.proj", "classifier": "head", "num_classes": 1000}  # fmt: skip
    note = {"architecture": "vit_tiny_patch16_224", "num_classes": 1000, "model_args": SMALL, "pretrained_cfg": config}
    (folder / "config.json").write_text(json.dumps(note))
    own = {name: tensor for name, tensor in small_vit(2).state_dict().items() if name in probes.OWN}
    half = {name: t.half() if name.startswith("head.") else t for name, t in own.items()}
    metadata = {"backbone": "a_backbone", "backbone_sha256": probes.hash_backbone(backbone())}
    save_file(half, str(folder / probes.HEAD), metadata)
    return folder


def write(file: Path, tensors: dict[str, torch.Tensor]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(file))
    return file


def test_a_probe_is_its_head_on_the_backbone_of_a_file(probe: Path, tmp_path: Path) -> None:
    base = load_base(f"{probe}={write(tmp_path / 'backbone.safetensors', backbone())}")
    expected = small_vit(1)
    head = small_vit(2).state_dict()
    expected.load_state_dict({**expected.state_dict(), "pos_embed": head["pos_embed"],
                              "head.weight": head["head.weight"].half().float(),
                              "head.bias": head["head.bias"].half().float()})  # fmt: skip
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(base.module(images), expected(images)) and base.precision == "float32"
    assert "not the backbone" not in base.loading and "resampled" not in base.loading


def test_the_backbone_that_was_fetched_is_found(probe: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "elsewhere" / "model.safetensors", backbone())
    probes.keep_backbone("a_backbone", file)
    by_cache = load_base(str(probe))
    assert by_cache.identity == load_base(f"{probe}={file}").identity
    file.unlink()  # the cache has it by a name of its own
    assert load_base(str(probe)).identity == by_cache.identity


def test_another_backbone_is_said(probe: Path, tmp_path: Path) -> None:
    base = load_base(f"{probe}={write(tmp_path / 'other.safetensors', backbone(seed=3))}")
    assert "not the backbone that its head was trained on (a_backbone)" in base.loading


def test_what_is_no_backbone_is_refused(probe: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"do not load into|no backbone"):
        load_base(f"{probe}={write(tmp_path / 'other.safetensors', {'x.weight': torch.zeros(3, 3)})}")
    with pytest.raises(UserError, match=r"cannot be had|no weights of it on the Hub"):
        load_base(str(probe))
    save_file({"head.weight": torch.zeros(1000, 24)}, str(probe / probes.HEAD))
    with pytest.raises(UserError, match="names no backbone"):
        load_base(str(probe))


@pytest.mark.parametrize("name", PROBES)
def test_shipped_heads_fit_the_published_architecture(name: str, tmp_path: Path) -> None:
    folder = folder_of(name)
    assert folder is not None and probes.is_probe(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000
    torch.manual_seed(0)
    published = timm.create_model(probes.backbone_name(folder).split(".")[0], num_classes=0)  # 518 px, random weights
    base = load_base(f"{name}={write(tmp_path / 'backbone.safetensors', published.state_dict())}")
    assert "not the backbone" in base.loading and base.preprocessing.shape == (98, 98)
    assert base.module.head.weight.shape == (1000, 384) and len(base.module.pos_embed[0]) == 7 * 7 + 1
    assert random_base(name).module.patch_embed.img_size == (98, 98)
