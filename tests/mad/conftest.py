"""A small pool of pictures, and two tiny models that disagree about them."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two random ViTs in timm's folder layout, with large weights so that pictures get different classes."""
    return _model(tmp_path_factory, 0), _model(tmp_path_factory, 1)


@pytest.fixture(scope="session")
def third_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One more of the same kind."""
    return _model(tmp_path_factory, 2)


def _model(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Path:
    import timm
    import torch
    from timm.models import save_for_hf

    size = {"img_size": 32, "patch_size": 16, "embed_dim": 32, "depth": 1, "num_heads": 2}
    torch.manual_seed(seed)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=1000, **size)
    torch.nn.init.normal_(model.patch_embed.proj.weight, std=0.3)
    torch.nn.init.normal_(model.head.weight, std=1.0)
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, 32, 32), "crop_pct": 1.0}
    folder = tmp_path_factory.mktemp(f"model-{seed}")
    save_for_hf(model, str(folder), model_args=size, safe_serialization=True)
    return folder


@pytest.fixture
def pair(models: tuple[Path, Path]) -> str:
    """The two models as `mad.search --pair` takes them."""
    return f"{models[0]},{models[1]}"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and small sheets: most of a search's time here is compressing them."""
    from benchmark.images import sheets
    from mad.mining import report

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "THUMBNAIL", 40)
    monkeypatch.setattr(sheets, "THUMBNAIL", 40)
