"""Studies of what matters in the training of an editor: one field of its recipe takes several values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel

NETWORKS = "hypernetworks"  # folder of the networks of studies, below that of a study


@dataclass(frozen=True)
class StudyOptions:
    """Options that all networks of a study share."""

    recipe: str
    """The published recipe of which one field is changed."""
    bank_size: int
    """Training samples in each bank that networks share."""
    iterations: int
    """Iterations of each network."""


@dataclass(frozen=True)
class Study:
    """A field of the recipe, the values it takes, and the training of a network with one of them."""

    title: str
    """The field and the paper's figure."""
    values: tuple[Any, ...]
    train: Callable[[Any, BaseModel, ImageSource, StudyOptions, int, Path], Path]
    """Checkpoint trained with a value on a base and images, from options and a seed, in a folder that goes on."""
