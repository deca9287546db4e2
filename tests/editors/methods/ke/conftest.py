"""The hypernetwork tests' small base and images; networks whose change descends the gradient; recipes of a second."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmark.models.load import BaseModel
from editors.methods.ke.checkpoint import STORE, run_metadata
from editors.methods.ke.network import KEShape, KnowledgeNetwork, new_network
from editors.methods.ke.recipe import KERecipe
from tests.editors.methods.hypernetwork.conftest import folder, source, tiny

__all__ = ["folder", "source", "tiny"]

QUICK = KERecipe(others=2, condition=8, hidden=6, lr=1e-3, warmup=2, batch_size=4, iterations=8)


def descending(shape: KEShape, strength: float, seed: int = 0) -> KnowledgeNetwork:
    """A random network, but for the a columns, which are near -strength: its change goes down the gradient."""
    network = new_network(shape, seed)
    with torch.no_grad():
        for head, (_, columns) in zip(network.heads, shape.matrices, strict=True):
            head[2].bias[:columns] -= strength
    return network


def write_checkpoint(path: Path, base: BaseModel, strength: float, recipe: KERecipe = QUICK) -> Path:
    """A descending network in a checkpoint for this base."""
    STORE.save(
        path, descending(KEShape.of(base.module, recipe), strength), run_metadata(base, recipe, 0, "data"), iteration=5
    )
    return path
