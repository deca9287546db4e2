"""A trained hypernetwork on disk, with the recipe that made it and what it is for in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.models import BaseModel
from editors.hypernetwork.network import Hypernetwork, Shape
from editors.hypernetwork.recipe import Recipe
from editors.training.checkpoint import Store
from editors.vit import ffn_matrices

STORE = Store("hypernetwork", "hypernetwork-1", Path(__file__).parent / "weights")


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, the recipe that made it, and the file's other metadata."""

    network: Hypernetwork
    recipe: Recipe
    facts: dict[str, str]


def facts_of(base: BaseModel, recipe: Recipe, seed: int, data: str, bank: Mapping[str, int] | None) -> dict[str, str]:
    """Metadata of a run: what is trained, for which base, from which images (`data`, a fingerprint)."""
    return {
        **STORE.facts_of(base, recipe.to_json(), ffn_matrices(base.module), seed, data),
        "shape": Shape.of(base.module, recipe).to_json(),
        "bank": json.dumps(bank),
    }


def load(path: Path, base_weights_sha256: str) -> Checkpoint:
    """The checkpoint in `path`, for the base whose weights have this hash.

    Raises `UserError` for a missing file, one that is no checkpoint, and one trained for another base: its
    masks would name units of other weights.
    """
    tensors, facts = STORE.load(path, base_weights_sha256)
    try:
        recipe = Recipe.from_json(facts["recipe"])
        network = Hypernetwork(Shape.from_json(facts["shape"]))
        network.load_state_dict(tensors)
    except (UserError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be used: {str(error).splitlines()[0]}") from error
    return Checkpoint(network.eval().requires_grad_(False), recipe, facts)
