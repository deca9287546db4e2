"""MEND's trained network on disk."""

from __future__ import annotations

from pathlib import Path

from benchmark.models.load import BaseModel
from benchmark.models.vit import last_ffn_matrices
from editors.methods.mend.network import EditorNetwork, Shape
from editors.methods.mend.recipe import Recipe
from editors.training.checkpoint import Checkpoint, Store

STORE = Store("mend", "mend-1", Path(__file__).parent / "weights")


def facts_of(base: BaseModel, recipe: Recipe, seed: int, data: str) -> dict[str, str]:
    """Metadata of a run; see `Store.facts_of`."""
    shape = Shape.of(base.module, recipe).to_json()
    return STORE.facts_of(base, recipe, shape, last_ffn_matrices(base.module), seed, data)


def load(path: Path, base_weights_sha256: str) -> Checkpoint[EditorNetwork, Recipe]:
    """See `Store.load`."""
    return STORE.load(path, base_weights_sha256, Recipe, lambda shape: EditorNetwork(Shape.from_json(shape)))
