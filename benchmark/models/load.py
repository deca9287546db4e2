"""Base models: an alias, any timm name, a file of weights or a folder; preprocessing travels with it.

A base model is written on the command line as one of

- an alias: ``mini``, ``mini-strong`` (shipped here), ``vitb16``, ``vits16``, ``clip-vitb16``;
- any timm ViT name: ``vit_base_patch16_224.augreg_in1k``;
- ``NAME=FILE``: the architecture and preprocessing of NAME, the weights of a local file;
- a folder in timm's own layout (``config.json`` and ``model.safetensors``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.core.errors import UserError, first_line, unknown
from benchmark.images.decode import Preprocessing
from benchmark.labels.imagenet import CLASSES
from benchmark.models.identity import hash_weights, model_identity, precision_of, probe_logits

ASSETS = Path(__file__).parents[1] / "assets" / "mini" / "models"
TIMM_NAMES = {
    "vitb16": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "vits16": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "clip-vitb16": "vit_base_patch16_clip_224.openai_ft_in1k",
}
EMBEDDED = ("mini", "mini-strong")

# The released evaluation of the two AugReg models; timm's config for these weights differs (SPEC, 1).
RELEASED_FOR = ("vitb16", "vits16")
RELEASED = Preprocessing(224, 256, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class BaseModel:
    """A trained classifier that predicts and is edited, but never changed itself."""

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    weights_sha256: str

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return next(self.module.parameters()).device

    @property
    def precision(self) -> str:
        """The weights' number format, e.g. ``float32``."""
        return precision_of(self.module)

    @cached_property
    def identity(self) -> str:
        """The model's hash, hex SHA-256 (see `benchmark.models.identity`). Computed once, at the first use."""
        return model_identity(self.module, self.preprocessing)

    def probe(self) -> dict[int, float]:
        """Compute the largest logits of a fixed image, by class, which are compared beside the identity."""
        return probe_logits(self.module, self.preprocessing)


def load_base(
    spec: str,
    weights: Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> BaseModel:
    """Load the base model that `spec` names (see the module's docstring), in evaluation mode, frozen.

    Raises `UserError` for an unknown name, weights that do not fit or cannot be fetched, and another label space.
    """
    name, _, file = spec.partition("=")
    path = Path(file) if file else weights
    if path is not None and not path.is_file():
        raise UserError(f"{path}: no such weights file for {name}")
    module, preprocessing = _load_folder(name, path) if _find_folder(name) else _load_timm(name, path)
    classes = getattr(module, "num_classes", CLASSES)
    if classes != CLASSES:
        raise UserError(
            f"{name} must predict the {CLASSES:,} classes of ImageNet-1k, not {classes:,}; "
            "take fine-tuned weights, whose timm names end in in1k"
        )
    module = module.to(device=device, dtype=dtype).eval().requires_grad_(False)
    return BaseModel(name, module, preprocessing, hash_weights(module))


def _find_folder(name: str) -> Path | None:
    if name in EMBEDDED:
        return ASSETS / name
    path = Path(name)
    return path if (path / "config.json").is_file() else None


def _load_folder(name: str, weights: Path | None) -> tuple[nn.Module, Preprocessing]:
    import timm

    folder = _find_folder(name)
    try:
        module = timm.create_model(f"local-dir:{folder}", pretrained=weights is None)
        if weights is not None:
            timm.models.load_checkpoint(module, str(weights))
    except Exception as error:
        raise UserError(f"{weights or folder}: does not load as a timm model ({first_line(error)})") from error
    return module, _find_preprocessing(name, module)


def _load_timm(name: str, weights: Path | None) -> tuple[nn.Module, Preprocessing]:
    import timm

    timm_name = TIMM_NAMES.get(name, name)
    if not timm.is_model(timm_name.split(".")[0]):
        raise unknown(
            "base model",
            name,
            (*EMBEDDED, *TIMM_NAMES, *timm.list_models("vit_*"))
            if name.startswith("vit_")
            else (*EMBEDDED, *TIMM_NAMES),
            "(any timm ViT, NAME=FILE or a timm folder will do too)",
        )
    if weights is not None:
        overlay: dict[str, Any] = {"file": str(weights)}
        try:
            module = timm.create_model(timm_name, pretrained=True, pretrained_cfg_overlay=overlay)
        except Exception as error:
            raise UserError(f"{weights}: these weights do not load into {timm_name} ({first_line(error)})") from error
    else:
        try:
            _require_hub(timm_name)
            module = timm.create_model(timm_name, pretrained=True)
        except Exception as error:
            raise UserError(
                f"the weights of {name} ({timm_name}) cannot be had from the Hub ({type(error).__name__}); "
                f"download its model.safetensors elsewhere and name it as {name}=FILE; "
                "the mini base models need no download (mini, mini-strong; for a search --pair mini,mini-strong)"
            ) from error
    return module, _find_preprocessing(name, module)


def _require_hub(timm_name: str) -> None:
    """Raise unless the weights are in the Hub's cache or the Hub answers; its own client tries for a minute."""
    import requests
    from huggingface_hub import constants, try_to_load_from_cache
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(timm_name)
    repository = config.hf_hub_id if config is not None else None
    if repository and any(
        isinstance(try_to_load_from_cache(repository, file), str) for file in ("model.safetensors", "pytorch_model.bin")
    ):
        return
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    requests.head(constants.ENDPOINT, timeout=10)


def random_base(name: str, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32) -> BaseModel:
    """A base model with the architecture of `name` and random weights, for benchmarks and tests."""
    import timm

    torch.manual_seed(seed)
    timm_name = f"local-dir:{ASSETS / name}" if name in EMBEDDED else TIMM_NAMES.get(name, name)
    module = timm.create_model(timm_name, pretrained=False)
    module = module.to(device=device, dtype=dtype).eval().requires_grad_(False)
    return BaseModel(name, module, _find_preprocessing(name, module), hash_weights(module))


def noise_images(model: Any, count: int) -> torch.Tensor:
    """Random images (count, 3, H, W), as `model` takes them, for benchmarks and tests."""
    images = torch.randn(count, 3, *model.patch_embed.img_size, generator=torch.Generator().manual_seed(0))
    return images.to(next(model.parameters()))


def _find_preprocessing(name: str, module: nn.Module) -> Preprocessing:
    from timm.data import resolve_data_config

    if name in RELEASED_FOR:
        return RELEASED
    return Preprocessing.from_timm(resolve_data_config({}, model=module))
