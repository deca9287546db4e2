"""Checks of a base model and of its inputs, before any edit."""

from __future__ import annotations

from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.models.family import Model, family_of, unsupported


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
