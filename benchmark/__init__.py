"""The data of every edit: base models, groups of failures to edit, locality images that must not change."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmark.core.lazy import lazy
from benchmark.core.moved import tell_moved
from benchmark.core.notes import install
from benchmark.core.shadows import check_sisters
from benchmark.core.versions import VERSION
from benchmark.data.packaged import EMBEDDED
from benchmark.images.open import register

if TYPE_CHECKING:
    from benchmark.core.errors import UserError
    from benchmark.data.dataset import Benchmark, LabelledImages
    from benchmark.images.open import open_images
    from benchmark.images.source import ImageSource
    from benchmark.models.load import BaseModel, load_base
    from benchmark.predict.benchmark import load
else:
    __getattr__ = lazy(
        __name__,
        {
            "benchmark.core.errors": ("UserError",),
            "benchmark.data.dataset": ("Benchmark", "LabelledImages"),
            "benchmark.images.open": ("open_images",),
            "benchmark.images.source": ("ImageSource",),
            "benchmark.models.load": ("BaseModel", "load_base"),
            "benchmark.predict.benchmark": ("load",),
        },
    )

check_sisters()
install()
__version__ = VERSION

__all__ = [
    "BaseModel",
    "Benchmark",
    "ImageSource",
    "LabelledImages",
    "UserError",
    "load",
    "load_base",
    "open_images",
]


def _open_embedded(name: str, split: str | None) -> ImageSource:
    from benchmark.data.embedded import open_embedded

    return open_embedded(name, split)


for _name, _known in EMBEDDED.items():
    register(_name, partial(_open_embedded, _name))
    register(_known.title, partial(_open_embedded, _name))  # which a search writes down

tell_moved(
    modules={"benchmark.dataset": "from benchmark import load"},
    commands={
        "benchmark.sources.mini": "python -m benchmark.rebuild drawings",
        "benchmark.train_mini": "python -m benchmark.rebuild models",
    },
)
