"""A trained hypernetwork on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmark.models.load import BaseModel
from benchmark.models.vit import ffn_matrices
from editors.methods.hypernetwork.network import Hypernetwork, HypernetworkShape
from editors.methods.hypernetwork.recipe import HypernetworkRecipe
from editors.training.checkpoint import Checkpoint, CheckpointStore

STORE = CheckpointStore("hypernetwork", "hypernetwork-1", Path(__file__).parent / "weights")


def run_metadata(
    base: BaseModel, recipe: HypernetworkRecipe, seed: int, data: str, bank: Mapping[str, int] | None
) -> dict[str, str]:
    """Metadata of a run, with the size and the seed of its bank; see `CheckpointStore.run_metadata`."""
    shape = HypernetworkShape.of(base.module, recipe).to_json()
    metadata = STORE.run_metadata(base, recipe, shape, ffn_matrices(base.module), seed, data)
    return {**metadata, "bank": json.dumps(bank)}


def load(path: Path, base_weights_sha256: str) -> Checkpoint[Hypernetwork, HypernetworkRecipe]:
    """See `CheckpointStore.load`. Masks of a network for another base would name units of other weights."""
    return STORE.load(
        path, base_weights_sha256, HypernetworkRecipe, lambda shape: Hypernetwork(HypernetworkShape.from_json(shape))
    )
