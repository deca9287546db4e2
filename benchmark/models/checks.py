"""Checks of a base model and of its inputs, before any edit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.models.family import Model, family_of, unsupported

# Far above the largest ViT's: a network of these sizes is still described in seconds.
MAX_DEPTH = 256  # blocks, heads; ViT-22B has 48 blocks
MAX_WIDTH = 1 << 17  # of a layer, pixels a side, classes; ViT-22B's FFN has 24,576 units


def check_supported(model: Model) -> None:
    """Raise `UserError` unless a family computes exactly what `model` does."""
    family = family_of(model)
    problem = family.problem(model) if type(model) is family.model_class else f"it is a {type(model).__name__}"
    if problem:
        raise unsupported(problem)


def check_inputs(model: Model, images: Tensor, labels: Tensor) -> None:
    """Raise `UserError` unless images (n, 3, H, W) have this base's size and labels (n,) are class indices of it."""
    height, width = model.patch_embed.img_size
    if tuple(images.shape[1:]) != (3, height, width):
        raise UserError(
            f"images for this base must have the shape (3, {height}, {width}), not {tuple(images.shape[1:])}; "
            "preprocess them with its own preprocessing (BaseModel.preprocessing)"
        )
    if ((labels < 0) | (labels >= model.num_classes)).any():
        last = model.num_classes - 1
        raise UserError(f"labels must be class indices 0 to {last} of this base, not {labels.tolist()}")


def check_timm_config(config: Mapping[str, Any], where: str) -> None:
    """Raise `UserError` unless a timm config says what it says in timm's types: names of layers, and whole numbers."""
    for key in ("classifier", "first_conv"):
        names = config.get(key)
        names = names if isinstance(names, (list, tuple)) else [names]
        if not all(name is None or isinstance(name, str) for name in names):
            raise UserError(f"{where}: {key} must be the name of a layer, not {config[key]!r}; mend its config.json")
    for key in ("num_classes", "label_offset"):
        number = config.get(key)
        if number is not None and type(number) is not int:
            raise UserError(f"{where}: {key} must be a whole number, not {number!r}; mend its config.json")


def check_sizes(settings: Any, where: str) -> None:
    """Raise `UserError` if a number in a network's `settings` (JSON) is larger than any network's."""
    waiting = [("", settings)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, item) for item in value]
        elif isinstance(value, (int, float)):
            largest = MAX_DEPTH if re.search("depth|block|layer|head", key) else MAX_WIDTH
            if not abs(value) <= largest:
                raise UserError(f"{where}: {key} must be at most {largest:,}, not {value:,}; name another file")
