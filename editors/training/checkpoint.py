"""Trained networks on disk: safetensors, with all that says what they are for in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from benchmark.core.errors import UserError, first_line
from benchmark.core.files import replacing
from benchmark.models.load import BaseModel
from editors.training.recipe import Choices

Network = TypeVar("Network", bound=nn.Module)
Recipe = TypeVar("Recipe", bound=Choices)


@dataclass(frozen=True)
class Checkpoint(Generic[Network, Recipe]):
    """A network in evaluation mode, the recipe that made it, and the file's other metadata."""

    network: Network
    recipe: Recipe
    facts: dict[str, str]


@dataclass(frozen=True)
class Store:
    """Where one editor's trained networks are.

    name: the editor's, as its files and messages call it. format: of its files, with their version. shipped: the folder
    of those that come with the project.
    """

    name: str
    format: str
    shipped: Path

    @property
    def how_to_train(self) -> str:
        """What to do without a checkpoint, in words."""
        return (
            f"train one with `python -m editors.methods.{self.name}.train --base NAME --data FOLDER "
            f"--out FILE.safetensors` and name it as {self.name}:checkpoint=FILE.safetensors"
        )

    def facts_of(
        self, base: BaseModel, recipe: Choices, shape: str, matrices: Sequence[str], seed: int, data: str
    ) -> dict[str, str]:
        """Metadata of a run: how and what is trained, for which base and matrices, from which images.

        `shape` (JSON) decides the network's tensors; `data` is the images' fingerprint.
        """
        return {
            "format": self.format,
            "recipe": recipe.to_json(),
            "shape": shape,
            "base": base.name,
            "base_weights_sha256": base.weights_sha256,
            "matrices": json.dumps(list(matrices)),
            "seed": str(seed),
            "data": data,
        }

    def save(self, path: Path, network: nn.Module, facts: Mapping[str, str], iteration: int) -> None:
        """Write the network and its metadata to `path`, atomically."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={**facts, "iteration": str(iteration)})

    def facts(self, path: Path) -> dict[str, str]:
        """A checkpoint's metadata. Raises `UserError` for a missing file and for one that is no such checkpoint."""
        if not path.is_file():
            raise UserError(f"{path}: no such checkpoint; {self.how_to_train}")
        try:
            with safe_open(path, "pt") as file:
                facts = file.metadata() or {}
        except SafetensorError as error:
            raise UserError(f"{path} is not a safetensors file ({error}); {self.how_to_train}") from error
        if facts.get("format") != self.format:
            raise UserError(
                f'{path} holds no trained {self.name} (format "{facts.get("format")}"); {self.how_to_train}'
            )
        return facts

    def load(
        self, path: Path, base_weights_sha256: str, recipe: type[Recipe], make: Callable[[str], Network]
    ) -> Checkpoint[Network, Recipe]:
        """The checkpoint in `path`, for the base whose weights have this hash.

        `make` gives the untrained network from the text that the metadata hold as ``shape``. Raises `UserError` as
        `facts` does, for one trained for another base (it would speak of other weights), and for one that does not
        hold what this version takes.
        """
        facts = self.facts(path)
        if facts["base_weights_sha256"] != base_weights_sha256:
            raise UserError(
                f"{path} was trained for {facts['base']} (weights {facts['base_weights_sha256'][:12]}) and not for "
                f"this base model (weights {base_weights_sha256[:12]}); {self.how_to_train}"
            )
        try:
            made_by, network = recipe.from_json(facts["recipe"]), make(facts["shape"])
            network.load_state_dict(load_file(path))
        except (UserError, RuntimeError, TypeError, ValueError, KeyError) as error:
            raise UserError(f"{path} cannot be used: {first_line(error)}") from error
        return Checkpoint(network.eval().requires_grad_(False), made_by, facts)

    def shipped_for(self, base_weights_sha256: str) -> Path:
        """The shipped checkpoint for the base whose weights have this hash. Raises `UserError` if there is none."""
        for path in sorted(self.shipped.glob("*.safetensors")):
            if self.facts(path)["base_weights_sha256"] == base_weights_sha256:
                return path
        raise UserError(
            f"no trained {self.name} for this base model (weights {base_weights_sha256[:12]}) comes with "
            f"the project; {self.how_to_train}"
        )


def refuse_other_settings(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], advice: str) -> None:
    """Raise `UserError` naming every setting in which what lies at `path` differs from what is wanted."""
    differing = [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
    if differing:
        pairs = ", ".join(f"{name} {found.get(name)} (now {wanted.get(name)})" for name in differing)
        raise UserError(f"{path} was made with other settings: {pairs}; {advice}")
