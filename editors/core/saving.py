"""An edited model as a model of its own: the base with other weights, in timm's folder layout."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import nn

from benchmark.core.errors import UserError
from benchmark.core.files import write_bytes
from benchmark.images.decode import Preprocessing
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from editors.core.edit import Edit, FailedEdit, WeightEdit


def apply(base: BaseModel, edit: Edit, name: str) -> BaseModel:
    """The base with the weights of an edit, as a model of its own; the base stays as it is.

    Raises `UserError` for a failed edit, and for one that cannot be saved as weights of the base's architecture; `name`
    is the editor's.
    """
    if isinstance(edit, FailedEdit):
        raise UserError(f"{name}: the edit failed ({edit.reason}); try another editor, or other settings of it")
    parameters = dict(base.module.named_parameters())
    if not isinstance(edit, WeightEdit):
        raise UserError(f"{name} changes no weights, so there is no edited model to save; take an editor that does")
    if other := [each for each, value in edit.overrides.items() if value.shape != parameters[each].shape]:
        raise UserError(f"{name} makes {other[0]} of another shape, which no model of this architecture has")
    module = copy.deepcopy(base.module)
    with torch.no_grad():
        for parameter, value in edit.overrides.items():
            module.get_parameter(parameter).copy_(value)
    return replace(base, module=module, weights_sha256=hash_weights(module))


def save(model: BaseModel, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` to a folder, which ``--base FOLDER`` and timm load.

    The config names the preprocessing that the model was loaded with, where timm's own is another one.
    """
    from timm.models._hub import save_config_for_hf

    module: Any = copy.deepcopy(model.module).cpu()  # files know no device
    module.pretrained_cfg = {**module.pretrained_cfg, **_timm_config(model.preprocessing)}
    write_bytes(folder / "model.safetensors", to_bytes(module.state_dict()))  # what timm's save_for_hf writes
    save_config_for_hf(module, str(folder / "config.json"))


def _timm_config(preprocessing: Preprocessing) -> dict[str, Any]:
    return {
        "input_size": (3, *preprocessing.shape),
        # timm takes the whole part of size / crop_pct: half a pixel more is resize, however the division is rounded
        "crop_pct": preprocessing.size / (preprocessing.resize + 0.5),
        "crop_mode": preprocessing.crop,
        "interpolation": preprocessing.interpolation,
        "mean": preprocessing.mean,
        "std": preprocessing.std,
    }


def class_title(module: nn.Module, index: int) -> str:
    """A class of a model in words: its name if it is ImageNet's or the model's config names it, and its index."""
    from benchmark.labels.imagenet import CLASSES, names

    config: Any = getattr(module, "pretrained_cfg", {})
    titles = config.get("label_names") or (names() if getattr(module, "num_classes", None) == CLASSES else ())
    return f"{titles[index]} ({index})" if index < len(titles) else f"class {index}"
