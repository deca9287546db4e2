"""A trained hypernetwork on disk: safetensors, with all that says what it is for in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from benchmark.errors import UserError
from benchmark.files import replacing
from benchmark.models import BaseModel
from editors.hypernetwork.network import Hypernetwork, Shape
from editors.hypernetwork.recipe import Recipe
from editors.vit import ffn_matrices

FORMAT = "hypernetwork-1"
SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, the recipe that made it, and the file's other metadata."""

    network: Hypernetwork
    recipe: Recipe
    facts: dict[str, str]


def facts_of(base: BaseModel, recipe: Recipe, seed: int, data: str, bank: Mapping[str, int] | None) -> dict[str, str]:
    """Metadata of a run: what is trained, for which base, from which images (`data`, a fingerprint)."""
    return {
        "format": FORMAT,
        "recipe": recipe.to_json(),
        "shape": Shape.of(base.module, recipe).to_json(),
        "base": base.name,
        "base_weights_sha256": base.weights_sha256,
        "matrices": json.dumps(ffn_matrices(base.module)),
        "seed": str(seed),
        "data": data,
        "bank": json.dumps(bank),
    }


def save(path: Path, network: Hypernetwork, facts: Mapping[str, str], iteration: int) -> None:
    """Write the network and its metadata to `path`, atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={**facts, "iteration": str(iteration)})


def load(path: Path, base_weights_sha256: str) -> Checkpoint:
    """The checkpoint in `path`, for the base whose weights have this hash.

    Raises `UserError` for a missing file, one that is no checkpoint, and one trained for another base: its
    masks would name units of other weights.
    """
    facts = _facts(path)
    if facts["base_weights_sha256"] != base_weights_sha256:
        raise UserError(
            f"{path} was trained for {facts['base']} (weights {facts['base_weights_sha256'][:12]}) and not for this "
            f"base model (weights {base_weights_sha256[:12]}); {HOW_TO_TRAIN}"
        )
    try:
        recipe = Recipe.from_json(facts["recipe"])
        network = Hypernetwork(Shape.from_json(facts["shape"]))
        network.load_state_dict(load_file(path))
    except (UserError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be used: {str(error).splitlines()[0]}") from error
    return Checkpoint(network.eval().requires_grad_(False), recipe, facts)


def shipped_for(base_weights_sha256: str) -> Path:
    """The shipped checkpoint for the base whose weights have this hash. Raises `UserError` if there is none."""
    for path in sorted(SHIPPED.glob("*.safetensors")):
        if _facts(path)["base_weights_sha256"] == base_weights_sha256:
            return path
    raise UserError(
        f"no hypernetwork for this base model (weights {base_weights_sha256[:12]}) comes with the project; "
        f"{HOW_TO_TRAIN}"
    )


HOW_TO_TRAIN = (
    "train one with `python -m editors.hypernetwork.train --base NAME --data FOLDER --out FILE.safetensors` "
    "and name it as hypernetwork:checkpoint=FILE.safetensors"
)


def _facts(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; {HOW_TO_TRAIN}")
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file ({error}); {HOW_TO_TRAIN}") from error
    if facts.get("format") != FORMAT:
        raise UserError(f'{path} holds no hypernetwork (format "{facts.get("format")}"); {HOW_TO_TRAIN}')
    return facts


def refuse_other_settings(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], advice: str) -> None:
    """Raise `UserError` naming every setting in which what lies at `path` differs from what is wanted."""
    differing = [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
    if differing:
        pairs = ", ".join(f"{name} {found.get(name)} (now {wanted.get(name)})" for name in differing)
        raise UserError(f"{path} was made with other settings: {pairs}; {advice}")
