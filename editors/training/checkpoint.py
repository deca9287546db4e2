"""Trained networks on disk: safetensors, with base, recipe, seed and images in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors.torch import save
from torch import nn

from benchmark.core.arrays import read_metadata, read_safetensors
from benchmark.core.errors import UserError, message_line
from benchmark.core.files import like, write_bytes
from benchmark.core.readers import Unreadable, parse_json
from benchmark.models.checks import check_sizes
from benchmark.models.load import BaseModel
from benchmark.models.weights import check_finite
from editors.training.recipe import AnyRecipe, TrainingRecipe

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


@dataclass(frozen=True)
class Checkpoint(Generic[AnyNetwork, AnyRecipe]):
    """A network in evaluation mode, the recipe that made it, and all of the file's metadata."""

    network: AnyNetwork
    recipe: AnyRecipe
    metadata: dict[str, str]


@dataclass(frozen=True)
class CheckpointStore:
    """Reads and writes one editor's trained networks."""

    name: str
    """The editor's name on the command line."""
    format: str
    """The format of its files, with a version."""
    shipped: Path
    """The folder of those that come with the project."""

    @property
    def how_to_train(self) -> str:
        """Advice to whoever has no checkpoint."""
        return (
            f"train one with `python -m editors.train {self.name} --base NAME --images FOLDER "
            f"--out FILE.safetensors` and name it as {self.name}:checkpoint=FILE.safetensors"
        )

    def run_metadata(
        self, base: BaseModel, recipe: TrainingRecipe, shape: str, matrices: Sequence[str], seed: int, data: str
    ) -> dict[str, str]:
        """Metadata of a training run: its recipe and seed, its base and the matrices it edits, its images.

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

    def save(self, path: Path, network: nn.Module, metadata: Mapping[str, str], iteration: int) -> None:
        """Write the network and its metadata to `path`, atomically."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        write_bytes(path, _to_bytes(tensors, {**metadata, "iteration": str(iteration)}))

    def read_metadata(self, path: Path) -> dict[str, str]:
        """A checkpoint's metadata. Raises `UserError` for a missing file and for one that is no such checkpoint."""
        if not path.is_file():
            raise UserError(f"{path}: no such checkpoint{like(path)}; {self.how_to_train}")
        metadata = read_metadata(path, self.how_to_train)
        if metadata.get("format") != self.format:
            raise UserError(
                f'{path} holds no trained {self.name} (format "{metadata.get("format")}"); {self.how_to_train}'
            )
        if missing := {"recipe", "shape", "base", "base_weights_sha256"} - metadata.keys():
            raise Unreadable(path, f"its metadata lack {min(missing)}", self.how_to_train)
        return metadata

    def load(
        self,
        path: Path,
        base_weights_sha256: str,
        recipe_class: type[AnyRecipe],
        make_network: Callable[[str], AnyNetwork],
    ) -> Checkpoint[AnyNetwork, AnyRecipe]:
        """The checkpoint in `path`, for the base whose weights have this hash.

        `make_network` gives the untrained network from the text that the metadata hold as ``shape``. Raises `UserError`
        as `read_metadata` does, for one trained for another base (it would edit other weights), and for one that does
        not hold what this version takes.
        """
        metadata = self.read_metadata(path)
        if metadata["base_weights_sha256"] != base_weights_sha256:
            raise UserError(
                f"{path} was trained for {metadata['base']} (weights {metadata['base_weights_sha256'][:12]}) and not "
                f"for this base model (weights {base_weights_sha256[:12]}); {self.how_to_train}"
            )
        try:
            recipe, tensors = recipe_class.from_json(metadata["recipe"]), read_safetensors(path, self.how_to_train)[0]
            check_finite(tensors, path)
            check_sizes(parse_json(metadata["shape"], "its shape"), "its shape")
            with torch.device("meta"):  # what it says of its size is no reason to take so much memory
                shapes = {name: tensor.shape for name, tensor in make_network(metadata["shape"]).state_dict().items()}
            if shapes != {name: tensor.shape for name, tensor in tensors.items()}:
                raise ValueError("its tensors are not those of its shape")
            network = make_network(metadata["shape"])
            network.load_state_dict(tensors)
        except (UserError, RuntimeError, TypeError, ValueError, KeyError) as error:
            raise UserError(f"{path} cannot be used: {message_line(error)}") from error
        return Checkpoint(network.eval().requires_grad_(False), recipe, metadata)

    def shipped_for(self, base_weights_sha256: str) -> Path:
        """The shipped checkpoint for the base whose weights have this hash. Raises `UserError` if there is none."""
        for path in sorted(self.shipped.glob("*.safetensors")):
            if self.read_metadata(path)["base_weights_sha256"] == base_weights_sha256:
                return path
        raise UserError(
            f"no trained {self.name} for this base model (weights {base_weights_sha256[:12]}) comes with "
            f"the project; {self.how_to_train}"
        )


def _to_bytes(tensors: dict[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file that is the same whenever its content is: the library writes metadata in a random order."""
    data = save(tensors, dict(metadata))
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(
        {**parse_json(data[8:end], "the checkpoint"), "__metadata__": dict(sorted(metadata.items()))}
    ).encode()
    header += b" " * (-len(header) % 8)  # what follows stays aligned
    return len(header).to_bytes(8, "little") + header + data[end:]
