"""Shared by tests of editors: training images, and untrained networks for editors that need trained ones."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.data.dataset import LabelledImages, read_split
from benchmark.images.decode import Preprocessing
from benchmark.models.load import BaseModel
from editors.core.base import TrainingImages
from editors.methods.hypernetwork import network
from editors.methods.hypernetwork.checkpoint import run_metadata
from editors.methods.hypernetwork.editor import HypernetworkEditor
from editors.methods.hypernetwork.recipe import preset
from editors.methods.ke import fit as ke
from editors.methods.ke.editor import KnowledgeEditor
from editors.methods.mend import checkpoint as mend
from editors.methods.mend import network as mends
from editors.methods.mend.editor import MEND
from editors.training.pretrained import PretrainedEditor
from tests.conftest import rows_of, write_split


def failures(count: int, samples: int = 1, seed: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise (count, samples, 3, 32, 32) in float64, and a random class for each failure, (count, samples)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, samples, 3, 32, 32, generator=generator, dtype=torch.float64)
    return images, torch.randint(0, 1000, (count, 1), generator=generator).expand(count, samples)


def training_pool(preprocessing: Preprocessing, count: int = 24) -> TrainingImages:
    """Small images of noise with labels of 20 classes."""

    def load() -> LabelledImages:
        with tempfile.TemporaryDirectory() as folder:
            write_split(Path(folder), "train", rows_of({(None, "train"): count}, seed=3))
            return read_split(Path(folder), "train")

    return TrainingImages(load, preprocessing, torch.device("cpu"))


def add_untrained(base: BaseModel, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Editors that need a trained network find an untrained one for this base among the shipped."""
    model, released = base.module, preset("released").but(blocks=1)
    small = ke.KERecipe(condition=16, hidden=8)
    made: list[tuple[type[PretrainedEditor], nn.Module, dict[str, str]]] = [
        (
            HypernetworkEditor,
            network.new_network(network.HypernetworkShape.of(model, released), seed=0),
            run_metadata(base, released, 0, "", None),
        ),
        (
            KnowledgeEditor,
            ke.new_network(ke.KEShape.of(model, small), seed=0),
            ke.run_metadata(base, small, 0, ""),
        ),
        (
            MEND,
            mends.new_network(mends.MENDShape.of(model, mend.MENDRecipe()), seed=0),
            mend.run_metadata(base, mend.MENDRecipe(), 0, ""),
        ),
    ]
    for editor_class, untrained, metadata in made:
        store = replace(editor_class.store, shipped=folder / editor_class.store.name)
        store.save(store.shipped / "base.safetensors", untrained, metadata, 0)
        patch.setattr(editor_class, "store", store)
