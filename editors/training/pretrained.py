"""An editor with a network trained in advance: it finds and describes its checkpoint."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from benchmark.core.devices import move
from benchmark.models.identity import hash_weights
from editors.core.base import BatchEditor, TrainingImages
from editors.training.checkpoint import Checkpoint, CheckpointStore
from editors.training.studies import Study

RECORDED = ("format", "recipe", "base_weights_sha256", "matrices", "seed", "data", "iteration")


class PretrainedEditor(BatchEditor):
    """An editor that uses a trained network: the one that its setting `checkpoint` names, or the base's shipped one."""

    store: ClassVar[CheckpointStore]

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._base: nn.Module | None = None
        self._loaded: Checkpoint[Any, Any] | None = None

    @abstractmethod
    def load(self, path: Path, base_weights_sha256: str) -> Checkpoint[Any, Any]:
        """The checkpoint in `path`, for the base whose weights have this hash. Raises `UserError`."""

    def fit(self, model: nn.Module, pool: TrainingImages) -> None:
        """Load the checkpoint for this base; ``python -m editors.train`` makes one."""
        self.checkpoint(model)

    @classmethod
    def studies(cls) -> Mapping[str, Study]:
        """Studies of what matters in its training, by name; none here."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """The network's tensors, once it is loaded."""
        return {} if self._loaded is None else dict(self._loaded.network.state_dict())

    def provenance(self) -> dict[str, str]:
        """The recipe, seed, images and base that the network was trained with, from its checkpoint."""
        metadata = {} if self._loaded is None else self._loaded.metadata
        return {name: metadata[name] for name in RECORDED if name in metadata}

    def checkpoint(self, model: nn.Module) -> Checkpoint[Any, Any]:
        """The checkpoint for this base, found and checked by the hash of its weights, once a base.

        Raises `UserError` if there is none, or if it is for another base.
        """
        if self._loaded is None or self._base is not model:
            weights = hash_weights(model)
            checkpoint = self.load(self.config.checkpoint or self.store.shipped_for(weights), weights)
            move(checkpoint.network, next(model.parameters()).device)
            self._base, self._loaded = model, checkpoint
        return self._loaded
