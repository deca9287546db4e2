"""A trained hypernetwork on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmark.models.load import BaseModel
from benchmark.models.vit import ffn_matrices
from editors.methods.hypernetwork.network import Hypernetwork, Shape
from editors.methods.hypernetwork.recipe import Recipe
from editors.training.checkpoint import Checkpoint, Store

STORE = Store("hypernetwork", "hypernetwork-1", Path(__file__).parent / "weights")


def facts_of(base: BaseModel, recipe: Recipe, seed: int, data: str, bank: Mapping[str, int] | None) -> dict[str, str]:
    """Metadata of a run; see `Store.facts_of`."""
    shape = Shape.of(base.module, recipe).to_json()
    facts = STORE.facts_of(base, recipe, shape, ffn_matrices(base.module), seed, data)
    return {**facts, "bank": json.dumps(bank)}


def load(path: Path, base_weights_sha256: str) -> Checkpoint[Hypernetwork, Recipe]:
    """See `Store.load`. Masks of a network that was trained for another base would name units of other weights."""
    return STORE.load(path, base_weights_sha256, Recipe, lambda shape: Hypernetwork(Shape.from_json(shape)))
