"""A trained editor network on disk, with the recipe that made it and what it is for in the file's metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.models import BaseModel
from editors.mend.factors import edited_matrices
from editors.mend.network import EditorNetwork, Shape
from editors.mend.recipe import Recipe
from editors.training.checkpoint import Store

STORE = Store("mend", "mend-1", Path(__file__).parent / "weights")


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, the recipe that made it, and the file's other metadata."""

    network: EditorNetwork
    recipe: Recipe
    facts: dict[str, str]


def facts_of(base: BaseModel, recipe: Recipe, seed: int, data: str) -> dict[str, str]:
    """Metadata of a run: what is trained, for which base, from which images (`data`, a fingerprint)."""
    return {
        **STORE.facts_of(base, recipe.to_json(), edited_matrices(base.module), seed, data),
        "shape": Shape.of(base.module, recipe).to_json(),
    }


def load(path: Path, base_weights_sha256: str) -> Checkpoint:
    """The checkpoint in `path`, for the base whose weights have this hash.

    Raises `UserError` for a missing file, one that is no checkpoint, and one trained for another base, whose
    gradients are others.
    """
    tensors, facts = STORE.load(path, base_weights_sha256)
    try:
        recipe = Recipe.from_json(facts["recipe"])
        network = EditorNetwork(Shape.from_json(facts["shape"]))
        network.load_state_dict(tensors)
    except (UserError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be used: {str(error).splitlines()[0]}") from error
    return Checkpoint(network.eval().requires_grad_(False), recipe, facts)
