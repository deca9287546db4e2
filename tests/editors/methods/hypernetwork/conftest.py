"""A small base and images to meta-train on; small recipes that train in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.images.source import ImageSource
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from editors.methods.hypernetwork.checkpoint import run_metadata
from editors.methods.hypernetwork.pseudo import PseudoSamples
from editors.methods.hypernetwork.recipe import HypernetworkRecipe, preset
from editors.training.images import open_training_images
from tests.conftest import PREPROCESSING, png, small_vit

QUICK = {"inner_steps": 2, "outer_steps": 2, "blocks": 1, "iterations": 12, "batch_size": 4}


@pytest.fixture
def tiny() -> BaseModel:
    """Two blocks on 32-px images."""
    model = small_vit(depth=2)
    return BaseModel("tiny", model, PREPROCESSING, hash_weights(model))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two classes of four images each."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "images" / name / f"{number}.png").write_bytes(png(rng))
    return tmp_path / "images"


@pytest.fixture
def source(folder: Path) -> ImageSource:
    return open_training_images(str(folder))


def quick(name: str = "released", **changes) -> HypernetworkRecipe:
    """A recipe with so few steps that tests are quick."""
    return preset(name).but(**{**QUICK, **changes})


def metadata(samples: PseudoSamples, seed: int = 0) -> dict[str, str]:
    """Metadata of a run on these samples."""
    return run_metadata(samples.base, samples.recipe, seed, samples.source.signature, {"size": 8, "seed": 0})
