"""The hypernetwork tests' small base and images; networks whose change descends the gradient; recipes of a second."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmark.models.load import BaseModel
from editors.methods.ke.checkpoint import STORE, facts_of
from editors.methods.ke.network import KnowledgeNetwork, Shape, new_network
from editors.methods.ke.recipe import Recipe
from tests.editors.methods.hypernetwork.conftest import folder, pictures, tiny

__all__ = ["folder", "pictures", "tiny"]

QUICK = Recipe(others=2, condition=8, hidden=6, lr=1e-3, warmup=2, batch=4, iterations=8)


def descending(shape: Shape, strength: float, seed: int = 0) -> KnowledgeNetwork:
    """A random network, but for the a columns, which are near -strength: its change goes down the gradient."""
    network = new_network(shape, seed)
    with torch.no_grad():
        for head, (_, columns) in zip(network.heads, shape.matrices, strict=True):
            head[2].bias[:columns] -= strength
    return network


def kept(path: Path, base: BaseModel, strength: float, recipe: Recipe = QUICK) -> Path:
    """A descending network in a checkpoint for this base."""
    STORE.save(
        path, descending(Shape.of(base.module, recipe), strength), facts_of(base, recipe, 0, "data"), iteration=5
    )
    return path
