"""KE's trained network on disk."""

from __future__ import annotations

from pathlib import Path

from benchmark.models.load import BaseModel
from benchmark.models.vit import last_ffn_matrices
from editors.methods.ke.network import KEShape, KnowledgeNetwork
from editors.methods.ke.recipe import KERecipe
from editors.training.checkpoint import Checkpoint, CheckpointStore

STORE = CheckpointStore("ke", "ke-1", Path(__file__).parent / "weights")


def run_metadata(base: BaseModel, recipe: KERecipe, seed: int, data: str) -> dict[str, str]:
    """Metadata of a run; see `CheckpointStore.run_metadata`."""
    shape = KEShape.of(base.module, recipe).to_json()
    return STORE.run_metadata(base, recipe, shape, last_ffn_matrices(base.module), seed, data)


def load(path: Path, base_weights_sha256: str) -> Checkpoint[KnowledgeNetwork, KERecipe]:
    """See `CheckpointStore.load`."""
    return STORE.load(path, base_weights_sha256, KERecipe, lambda shape: KnowledgeNetwork(KEShape.from_json(shape)))
