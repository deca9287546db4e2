"""A small base in double precision, images to train on, and recipes that train in a second."""

from __future__ import annotations

import pytest
import torch

from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from benchmark.models.vit import cut_for, forward_prefix, last_ffn_matrices
from editors.methods.mend.network import EPSILON, EditorNetwork, MENDShape, new_network
from editors.methods.mend.recipe import MENDRecipe
from tests.conftest import PREPROCESSING, small_vit
from tests.editors.methods.hypernetwork.conftest import folder, source

__all__ = ["folder", "source"]
QUICK = MENDRecipe(rank=8, batch_size=3, iterations=8, lr=1e-3)
MODEL = small_vit(dtype=torch.float64)
BASE = BaseModel("tiny", MODEL, PREPROCESSING, hash_weights(MODEL))
NAMES = last_ffn_matrices(MODEL)
CUT = cut_for(MODEL, NAMES)


@pytest.fixture
def tiny() -> BaseModel:
    """Two blocks on 32-px images."""
    model = small_vit(depth=2)
    return BaseModel("tiny", model, PREPROCESSING, hash_weights(model))


def tokens_of(images: torch.Tensor) -> torch.Tensor:
    """At the cut, (m, n, T, N)."""
    return forward_prefix(MODEL, images.flatten(0, 1), CUT).unflatten(0, images.shape[:2])


def lively_network(seed: int = 0) -> EditorNetwork:
    """In double precision, with nothing left at its initial value."""
    network = new_network(MENDShape.of(MODEL, QUICK), seed).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    for editor in network.editors.values():
        editor.count += 10
        editor.mean += torch.randn(editor.mean.shape, generator=generator, dtype=torch.float64)
        editor.squares += 1 + torch.rand(editor.mean.shape, generator=generator, dtype=torch.float64)
    return network


def plain_network(step_size: float) -> EditorNetwork:
    """Untrained, and with a normalisation that changes nothing."""
    network = new_network(MENDShape.of(MODEL, QUICK), 0).double()
    network.step_sizes.data.fill_(step_size)
    for editor in network.editors.values():
        editor.count += 2
        editor.squares += (1 - EPSILON) ** 2
    return network
