"""An editor and its training images. A third party writes an `Editor`, and nothing else."""

from __future__ import annotations

import dataclasses
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.core.errors import message_line
from benchmark.data.dataset import LabelledImages
from benchmark.images.decode import Preprocessing
from editors.core.edit import Edit, FailedEdit


@dataclass(frozen=True)
class TrainingImages:
    """Labelled images that an editor may learn from in `fit`; never the images it is scored on.

    They are read when first asked for: data without any is no obstacle to an editor that needs none.

    load: reads the images and their table.
    preprocessing: the base's.
    device: the place of the tensors that come from here.
    """

    load: Callable[[], LabelledImages]
    preprocessing: Preprocessing
    device: torch.device

    @cached_property
    def samples(self) -> LabelledImages:
        """The images and their table. Raises `UserError` where the data has no training split."""
        return self.load()

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> Tensor:
        """ImageNet-1k class indices, int64 (n,)."""
        return torch.as_tensor(self.samples.labels, device=self.device)

    def images(self, rows: Sequence[int]) -> Tensor:
        """Preprocessed images, float32 (len(rows), 3, size, size). Raises `IndexError` for a row that is not there."""
        if len(rows) and not 0 <= min(rows) <= max(rows) < len(self):
            raise IndexError(f"rows {min(rows)} to {max(rows)} of {len(self)} training images")
        return self.samples.images(self.preprocessing, rows).to(self.device)


@dataclass(frozen=True)
class NoConfig:
    """The config of an editor without settings."""


class Editor(ABC):
    """A method that edits one failure at a time.

    `Config` is a frozen dataclass of the method's settings; the field made by `knob` is the one that
    ``--sweep`` varies. `config` holds the settings of this very editor.
    """

    Config: ClassVar[type] = NoConfig

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def fit(self, model: nn.Module, training: TrainingImages) -> None:  # noqa: B027 - optional by design
        """Learn once from training images, before any edit. Most editors have nothing to learn."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `fit` learned; their hash goes into the record."""
        return {}

    def provenance(self) -> dict[str, str]:
        """The origin of what `fit` learned (data and base hashes, counts, settings); goes into the record."""
        return {}

    @abstractmethod
    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit | nn.Module:
        """Correct one failure of `model` from n samples of it, n = 1 as a rule.

        `images` (n, 3, H, W) are preprocessed, `labels` (n,) int64 are the right classes. Return an edit (see
        `editors.core.edit`) or a changed *copy* of the model; `model` itself must stay as it is.
        """

    def edit_many(
        self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]
    ) -> Sequence[Edit | nn.Module]:
        """Correct m independent failures: `images` (m, n, 3, H, W), `labels` (m, n), one seed a failure.

        The default edits one after the other, each with all random sources at its own seed. An `ArithmeticError`
        or a failed decomposition is a failed edit and counts as one; any other exception is a bug, which is no
        score, and ends the run.
        """
        edits: list[Edit | nn.Module] = []
        for sample_images, sample_labels, seed in zip(images, labels, seeds, strict=True):
            seed_everything(seed)
            try:
                edits.append(self.edit(model, sample_images, sample_labels))
            except (ArithmeticError, torch.linalg.LinAlgError) as error:
                edits.append(FailedEdit(f"{type(error).__name__}: {message_line(error)}"))
        return edits


class BatchEditor(Editor):
    """An editor that edits many failures at once, and so a single one as a batch of one."""

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        """See `Editor.edit`; what is random comes from a seed that torch's global generator gives."""
        seed = int(torch.randint(2**63 - 1, ()))
        return self.edit_many(model, images[None], labels[None], [seed])[0]

    @abstractmethod
    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """See `Editor.edit_many`; the edits must be those of one failure after the other."""


def seed_everything(seed: int) -> None:
    """Seed the generators of `random`, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the one that other libraries draw from
    torch.manual_seed(seed)


def knob(default: float, sweep: Sequence[float] = ()) -> Any:
    """A config field that is the config's `Knob`. Raises `TypeError` without numbers to sweep."""
    is_number = [isinstance(value, Real) for value in (default, *sweep)] if isinstance(sweep, Iterable) else [False]
    if not all(is_number) or len(is_number) < 2:
        raise TypeError("a knob is a number, and the numbers that a sweep gives it: knob(0.1, sweep=(0.05, 0.1, 0.2))")
    return field(default=default, metadata={"sweep": tuple(sweep)})


class Knob(NamedTuple):
    """The setting that trades generalisation against locality, and the values that a sweep gives it."""

    name: str
    sweep: tuple[float, ...]


def knobs_of(config: type | object) -> list[Knob]:
    """The fields of a config that `knob` made."""
    fields = dataclasses.fields(config)  # type: ignore[arg-type]
    return [Knob(each.name, each.metadata["sweep"]) for each in fields if "sweep" in each.metadata]


def knob_of(config: type | object) -> Knob | None:
    """The knob of a config, or None if it has none."""
    return next(iter(knobs_of(config)), None)
