"""A ViTForImageClassification of the transformers library: converted to equal logits, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.models.load import load_base
from tests.benchmark.models.test_weights import write_folder
from tests.conftest import small_vit

SHAPE = {"image_size": 32, "hidden_size": 24, "num_hidden_layers": 6, "intermediate_size": 96, "num_labels": 1000}


def save(folder: Path, **settings: object) -> torch.nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(4)
    model = ViTForImageClassification(ViTConfig(**{**SHAPE, "num_attention_heads": 3, **settings})).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("saved", [True, False])
def test_logits_equal_the_librarys_own(tmp_path: Path, saved: bool) -> None:
    """From the file that the library writes, and from the names of its modules, which differ since release 5."""
    timms = write_folder(tmp_path / "timm", small_vit().state_dict())
    model = save(tmp_path / "theirs")
    file = tmp_path / "theirs" / "model.safetensors"
    if not saved:
        file = tmp_path / "theirs" / "w.pth"
        torch.save(model.state_dict(), file)
    base, images = load_base(f"{timms}={file}"), torch.randn(5, 3, 32, 32)
    assert "converted from the layout of the transformers library" in base.loading
    with torch.no_grad():
        torch.testing.assert_close(base.module(images), model(images).logits, rtol=1e-4, atol=1e-4)


def test_what_timm_would_compute_otherwise_is_refused(tmp_path: Path) -> None:
    timms = write_folder(tmp_path / "timm", small_vit().state_dict())
    theirs = tmp_path / "theirs"
    save(theirs, num_attention_heads=6)
    with pytest.raises(UserError, match="num_attention_heads must be 3"):
        load_base(f"{timms}={theirs / 'model.safetensors'}")
    save(theirs, hidden_act="relu")
    with pytest.raises(UserError, match="hidden_act must be gelu"):
        load_base(f"{timms}={theirs / 'model.safetensors'}")
    save(theirs, num_hidden_layers=5)
    with pytest.raises(UserError, match=r"blocks\.5\..*does not fit"):
        load_base(f"{timms}={theirs / 'model.safetensors'}")
    save(theirs, num_labels=10)
    with pytest.raises(UserError, match="10 classes"):
        load_base(f"{timms}={theirs / 'model.safetensors'}")
    with pytest.raises(UserError, match=r"folder of the transformers library.*=.*model\.safetensors"):
        load_base(str(theirs))
    (theirs / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="folder of the transformers library"):
        load_base(str(theirs))
