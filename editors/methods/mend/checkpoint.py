"""MEND's trained network on disk."""

from __future__ import annotations

from pathlib import Path

from benchmark.models.load import BaseModel
from benchmark.models.vit import last_ffn_matrices
from editors.methods.mend.network import EditorNetwork, MENDShape
from editors.methods.mend.recipe import MENDRecipe
from editors.training.checkpoint import Checkpoint, CheckpointStore

STORE = CheckpointStore("mend", "mend-1", Path(__file__).parent / "weights")


def run_metadata(base: BaseModel, recipe: MENDRecipe, seed: int, data: str) -> dict[str, str]:
    """Metadata of a run; see `CheckpointStore.run_metadata`."""
    shape = MENDShape.of(base.module, recipe).to_json()
    return STORE.run_metadata(base, recipe, shape, last_ffn_matrices(base.module), seed, data)


def load(path: Path, base_weights_sha256: str) -> Checkpoint[EditorNetwork, MENDRecipe]:
    """See `CheckpointStore.load`."""
    return STORE.load(path, base_weights_sha256, MENDRecipe, lambda shape: EditorNetwork(MENDShape.from_json(shape)))
