"""Linear probes: a base whose folder holds a head alone, on a frozen backbone that others publish.

The folder has timm's ``config.json``, and instead of weights `HEAD`: head, position embedding at the probe's own
resolution, and in its metadata the backbone's name in timm and the hash of its tensors. `benchmark.probe` trains one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from benchmark.core.arrays import read_metadata, read_safetensors
from benchmark.core.errors import UserError
from benchmark.core.files import cache_folder, replacing
from benchmark.models.hub import fetch_weights
from benchmark.models.identity import hash_tensors
from benchmark.models.weights import Tensors, Weights

HEAD = "head.safetensors"
OWN = ("head.weight", "head.bias", "pos_embed")  # tensors of `HEAD`
UNUSED = "mask_token"  # of a backbone: for its own training alone


def is_probe(folder: Path | None) -> bool:
    """Return whether a base's folder is a probe's."""
    return folder is not None and (folder / HEAD).is_file()


def backbone_name(folder: Path) -> str:
    """The backbone of the probe in `folder`, as timm calls it."""
    name = read_metadata(folder / HEAD).get("backbone")
    if not name:
        raise UserError(f"{folder / HEAD}: names no backbone; train it again: python -m benchmark.probe --help")
    return name


def cached_backbone(name: str) -> Path:
    """The file by which a backbone is known here whatever the Hub says; `benchmark.fetch` puts it there."""
    return cache_folder() / "backbones" / f"{name}.safetensors"


def keep_backbone(name: str, file: Path) -> None:
    """Let `find_backbone` find this file from now on: a copy of it, or the same file by another name."""
    cached = cached_backbone(name)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with replacing(cached) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            temporary.hardlink_to(file)
        except OSError:  # another disk, or a disk without links
            shutil.copyfile(file, temporary)


def find_backbone(name: str, alias: str) -> Path:
    """The file of a backbone's weights: the cached one, else the Hub's. Raises `UserError` where there is none."""
    cached = cached_backbone(name)
    if cached.is_file():
        return cached
    advice = f"python -m benchmark.fetch dinov2-mini brings it (see its --from-onnx), or name its file: {alias}=FILE"
    path = fetch_weights(alias, name, advice)
    if path is None:
        raise UserError(f"{name}: timm has no weights of it on the Hub; name its file: {alias}=FILE")
    return path


def with_head(weights: Weights, folder: Path, path: Path) -> Weights:
    """The backbone's weights, of the file `path`, with the probe's head; a remark where it is another backbone."""
    own, metadata = read_safetensors(folder / HEAD)
    if sorted(own) != sorted(OWN):
        raise UserError(f"{folder / HEAD}: holds {', '.join(sorted(own))}, and not {', '.join(sorted(OWN))}")
    backbone = backbone_tensors(weights.tensors)
    if not backbone:
        raise UserError(f"{path}: holds no backbone of {metadata.get('backbone')}")
    merged = Weights({**backbone, **{name: tensor.float() for name, tensor in own.items()}}, weights.remarks)
    if hash_backbone(backbone) != metadata.get("backbone_sha256"):
        merged = merged.remark(f"not the backbone that its head was trained on ({metadata.get('backbone')})")
    return merged


def backbone_tensors(tensors: Tensors) -> dict[str, torch.Tensor]:
    """The part of a file that a probe takes: all but head and position embedding."""
    return {name: tensor for name, tensor in tensors.items() if name not in (*OWN, UNUSED)}


def hash_backbone(tensors: Tensors) -> str:
    """The hash by which a backbone is known, whatever its file: see `hash_tensors`."""
    return hash_tensors({name: tensor.float() for name, tensor in backbone_tensors(tensors).items()})
