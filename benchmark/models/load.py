"""Base models: an alias, any timm name, a file of weights or a folder; preprocessing travels with it.

A base model is written on the command line as one of

- an alias: ``mini``, ``mini-strong`` (shipped here), ``vitb16``, ``vits16``, ``clip-vitb16``;
- ``dinov2-mini``, ``dinov2-mini-strong``: a head that is shipped here on DINOv2's ViT-S/14, from the Hub or the cache;
- any timm ViT name: ``vit_base_patch16_224.augreg_in1k``, also as ``timm/NAME`` and ``hf-hub:timm/NAME``;
- ``NAME=FILE``: the architecture and preprocessing of NAME, the weights of a local file (of a probe: its backbone's);
- a folder in timm's own layout (``config.json`` and ``model.safetensors``), or a probe's (see `probes`).

A path may hold ``=`` and ``,``: where several readings are possible, the one whose folder or file exists wins.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.core.devices import pick
from benchmark.core.errors import UserError, message_line
from benchmark.core.files import like
from benchmark.core.hub import from_hub
from benchmark.core.readers import read_json
from benchmark.images.decode import Preprocessing
from benchmark.labels.imagenet import CLASSES
from benchmark.models.checks import check_sizes, check_timm_config
from benchmark.models.convert import check_config, is_transformers
from benchmark.models.hub import fetch_weights
from benchmark.models.identity import hash_weights, model_identity, precision_of, probe_logits
from benchmark.models.names import folder_of, split_spec, timm_name
from benchmark.models.probes import backbone_name, find_backbone, is_probe, with_head
from benchmark.models.weights import (
    check_finite,
    check_head,
    fit_names,
    name_difference,
    read_weights,
    resampled,
    weights_file,
)

log = logging.getLogger(__name__)

# The released evaluation of the two AugReg models; timm's config for these weights differs (SPEC, 1).
RELEASED_FOR = ("vitb16", "vits16")
SMALL = 1 << 22  # values: a model that lacks so few is made, and the difference named by what does not fit
RELEASED = Preprocessing(224, 256, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class BaseModel:
    """A trained classifier that predicts and is edited, but never changed itself."""

    name: str
    module: nn.Module = field(repr=False)  # pages
    preprocessing: Preprocessing
    weights_sha256: str
    loading: str = ""  # where the weights are from, what was done to them, and the preprocessing; in words

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
    any_classes: bool = False,
) -> BaseModel:
    """Load the base model that `spec` names (see the module's docstring), in evaluation mode, frozen.

    Logs in one line which weights were taken, what was done to them, and the preprocessing; as a warning where
    something was done. Raises `UserError` for an unknown name, weights that do not fit or cannot be fetched,
    a random head, and, unless `any_classes`, another label space: only scores need ImageNet's.
    """
    name, file = split_spec(spec)
    path = file or weights
    if path is not None and not path.is_file():
        hint = "is a folder; name the file of weights in it" if path.is_dir() else f"no such weights file{like(path)}"
        raise UserError(f"{path}: {hint} for {name}")
    folder = folder_of(name)
    architecture = f"local-dir:{folder}" if folder else timm_name(name)
    blank = _blank(architecture, folder, any_classes)
    head = folder if is_probe(folder) else None
    if path is None and head is not None:
        path = find_backbone(backbone_name(head), name)
    elif path is None:
        path = weights_file(folder) if folder else fetch_weights(name, architecture)
    module, remarks = _filled(architecture, blank, path, head)
    check_finite(module.state_dict(), path or name)
    preprocessing = _find_preprocessing(name, module)
    module = module.to(device=pick(device), dtype=dtype).eval().requires_grad_(False)
    origin = path.name if path is not None else "the address that timm names"
    loading = "; ".join((f"weights from {origin}", *remarks, str(preprocessing)))
    log.log(logging.WARNING if remarks else logging.INFO, "%s: %s", name, loading)
    return BaseModel(name, module, preprocessing, hash_weights(module), loading)


def _blank(architecture: str, folder: Path | None, any_classes: bool) -> Any:
    """The model without weights, to see what it expects. Raises `UserError` for what is not scored here."""
    import timm

    if folder:
        _check_folder(folder)
    try:
        with torch.device("meta"):
            blank: Any = timm.create_model(architecture, pretrained=False)
    except Exception as error:
        raise UserError(f"{folder or architecture}: does not load as a timm model ({message_line(error)})") from error
    config, name = blank.pretrained_cfg, folder or architecture
    check_timm_config(config, str(name))
    classes = getattr(blank, "num_classes", CLASSES)
    if config.get("num_classes", classes) != classes:
        raise UserError(
            f"{name}: its weights tell {config['num_classes']:,} classes apart and the model {classes:,}, so the head "
            "would be a random one, which is no model; make num_classes in config.json one number"
        )
    if classes != CLASSES and not any_classes:
        raise UserError(
            f"{name} must predict the {CLASSES:,} classes of ImageNet-1k, not {classes:,}; "
            "take fine-tuned weights, whose timm names end in in1k"
        )
    preprocessing, patches = _find_preprocessing(str(name), blank), getattr(blank, "patch_embed", None)
    try:
        first = blank.get_submodule(config["first_conv"]) if isinstance(config.get("first_conv"), str) else None
    except AttributeError as error:
        raise UserError(
            f"{name}: its config names a first_conv that the model lacks ({message_line(error)})"
        ) from error
    channels = getattr(first, "in_channels", 3)
    if channels != 3:
        raise UserError(f"{name}: takes images of {channels} channels; only RGB images are shown here")
    size = getattr(patches, "img_size", None)
    if getattr(patches, "strict_img_size", False) and size is not None and tuple(size) != preprocessing.shape:
        raise UserError(
            f"{name}: takes images of {tuple(size)} and its config names {preprocessing.shape}; make input_size right"
        )
    return blank


def _check_folder(folder: Path) -> None:
    """Raise `UserError` unless config.json is timm's."""
    config = read_json(folder / "config.json", fix="write it with timm's save_for_hf")
    if not isinstance(config.get("architecture"), str):
        if "model_type" in config or "transformers_version" in config:
            raise UserError(
                f"{folder}: is a folder of the transformers library; name timm's architecture and a file in it, as in "
                f"vit_base_patch16_224={folder / 'model.safetensors'} (a ViTForImageClassification is converted)"
            )
        raise UserError(f"{folder / 'config.json'}: names no architecture of timm; write it with timm's save_for_hf")
    check_sizes(config.get("model_args"), str(folder / "config.json"))


def _filled(architecture: str, blank: Any, path: Path | None, head: Path | None) -> tuple[nn.Module, tuple[str, ...]]:
    """The model with the weights of a file, and remarks on what was done to them; without one, as timm finds them.

    `head` is the folder of a probe, whose backbone the file is.
    """
    import timm

    if path is None:
        with from_hub(f"the weights of {architecture}", "give them as NAME=FILE"):
            return timm.create_model(architecture, pretrained=True), ()
    config, expected = blank.pretrained_cfg, blank.state_dict()
    weights = read_weights(path)
    if is_transformers(weights.tensors) and getattr(blank, "blocks", None):
        check_config(path.with_name("config.json"), blank.blocks[0].attn.num_heads)
    weights = fit_names(weights, expected, path)
    if head is not None:
        weights = with_head(weights, head, path)
    heads = config.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    check_head(weights.tensors, expected, heads, config.get("label_offset") or 0, path)
    needed, stored = (sum(tensor.numel() for tensor in tensors.values()) for tensors in (expected, weights.tensors))
    if needed > 2 * stored + SMALL:  # before memory is taken for it
        reason = name_difference(weights.tensors, expected)
        raise UserError(f"{path}: these weights do not load into {architecture}: {reason}")
    overlay: dict[str, Any] = {"source": "", "state_dict": dict(weights.tensors)}
    try:
        module: Any = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:
        reason = name_difference(weights.tensors, expected)
        raise UserError(f"{path}: these weights do not load into {architecture}: {reason}") from error
    module.pretrained_cfg["state_dict"] = None  # else the weights would be kept twice
    for name in resampled(weights.tensors, module.state_dict()):
        weights = weights.remark(f"{name} resampled, so this is not quite the model that was trained")
    return module, weights.remarks


def random_base(name: str, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32) -> BaseModel:
    """A base model with the architecture of `name` and random weights, for benchmarks and tests."""
    import timm

    torch.manual_seed(seed)
    folder = folder_of(name)
    architecture = f"local-dir:{folder}" if folder else timm_name(name)
    module = timm.create_model(architecture, pretrained=False)
    module = module.to(device=pick(device), dtype=dtype).eval().requires_grad_(False)
    return BaseModel(f"random {name}", module, _find_preprocessing(name, module), hash_weights(module))


def noise_images(model: Any, count: int) -> torch.Tensor:
    """Random images (count, 3, H, W), as `model` takes them, for benchmarks and tests."""
    images = torch.randn(count, 3, *model.patch_embed.img_size, generator=torch.Generator().manual_seed(0))
    return images.to(next(model.parameters()))


def _find_preprocessing(name: str, module: nn.Module) -> Preprocessing:
    from timm.data import resolve_data_config

    if name in RELEASED_FOR:
        return RELEASED
    return Preprocessing.from_timm(resolve_data_config({}, model=module))
