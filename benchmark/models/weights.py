"""Files of weights as people have them: what lies in one, under which keys and prefix, and why it does not fit."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.core.arrays import HOLDS_CODE, list_members, load_pickled, read_npz, read_safetensors
from benchmark.core.errors import UserError
from benchmark.core.readers import Unreadable, read_head
from benchmark.models.convert import from_transformers, is_transformers
from benchmark.models.jax import from_jax, is_jax

Tensors = Mapping[str, Tensor]
RAW = ("state_dict", "model", "model_state_dict", "module", "net", "network")  # usual keys, the surest first
AVERAGED = re.compile(r"ema|swa|averag|teacher", re.IGNORECASE)
WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")  # of parallel training and torch.compile
RESAMPLED = re.compile(r"pos_embed|patch_embed\.proj\.weight|relative_position_bias_table|rel_pos")
PREFERRED = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")  # of a folder, as timm does
MAX_NESTED = 4  # mappings around a set of weights; a trainer keeps them in one or two
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".npz")

# First bytes of files that are taken for weights, what they are, and the way out.
NOT_WEIGHTS = (
    (b"version https://git-lfs", "is a Git LFS pointer and not the file itself; fetch it with git lfs pull"),
    (b"<", "is an HTML or XML page and no weights, perhaps of a failed download; download the file itself"),
    (b"\x89HDF", "is an HDF5 file, as Keras writes it; save a PyTorch model's state_dict()"),
    (b"\x1f\x8b", "is a compressed archive; unpack it and name the file of weights in it"),
    (b"{", "is a JSON file and no weights; name the file of weights beside it"),
)


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and remarks in words on how they were come by: what a reader of a score should know."""

    tensors: Tensors
    remarks: tuple[str, ...] = ()

    def remark(self, text: str) -> Weights:
        """The same tensors with one more remark."""
        return replace(self, remarks=(*self.remarks, text))


def weights_file(folder: Path) -> Path:
    """The file of weights in a folder. Raises `UserError` if there is none, several, or one in pieces."""
    for name in PREFERRED:
        if (folder / name).is_file():
            return folder / name
    if any(folder.glob("*.index.json")):
        raise UserError(f"{folder}: its weights lie in several files; join them into one model.safetensors")
    files = sorted(file for file in folder.glob("*") if file.suffix in SUFFIXES and file.is_file())
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise UserError(f"{folder}: must hold one file of weights, such as model.safetensors, not {names}")
    return files[0]


def read_weights(path: Path) -> Weights:
    """The tensors in a file, running no code of it: of several sets the raw one, as timm's validate.py takes it.

    Raises `UserError`, with the usual cause, for what holds no weights or is damaged.
    """
    weights = _choose_set(_read(path), path)
    tensors = weights.tensors
    if any(WRAPPERS.match(name) for name in tensors):
        averaged = "n_averaged" in tensors  # beside the weights in torch's AveragedModel
        tensors = {WRAPPERS.sub("", name): tensor for name, tensor in tensors.items() if name != "n_averaged"}
        weights = replace(weights, tensors=tensors).remark(
            'prefix "module." taken off' + (", averaged weights" if averaged else "")
        )
    formats = {str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()}
    return weights if formats <= {"float32"} else weights.remark(f"stored as {', '.join(sorted(formats))}")


def fit_names(weights: Weights, expected: Tensors, path: Path) -> Weights:
    """The same weights under the names that a model has (`expected`), where one prefix stands before all of them.

    A ViTForImageClassification of the transformers library, and a ViT of JAX's, are converted to timm's layout. Raises
    `UserError` where two prefixes fit, or other layers lie beside those that have the prefix.
    """
    tensors = weights.tensors
    if is_transformers(tensors):
        converted = from_transformers(tensors, expected, path)
        return replace(weights, tensors=converted).remark("converted from the layout of the transformers library")
    if is_jax(tensors):
        return replace(weights, tensors=from_jax(tensors)).remark("converted from JAX's layout")
    anchor = next((name for name in expected if name.endswith("weight") and expected[name].dim() >= 2), "")
    prefixes = sorted({name.removesuffix(anchor) for name in tensors if name == anchor or name.endswith(f".{anchor}")})
    if len(prefixes) > 1:
        shown = ", ".join(f'"{prefix}"' for prefix in prefixes)
        raise UserError(f"{path}: holds several models, under the prefixes {shown}; keep one of them")
    if prefixes in ([], [""]):
        return weights
    (prefix,) = prefixes
    inside = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    outside = [name for name in tensors if not name.startswith(prefix)]
    layers = [name for name in outside if tensors[name].dim() >= 2]
    if layers:
        raise UserError(
            f'{path}: holds {layers[0]} beside what has the prefix "{prefix}", so what the whole computes is unknown; '
            "save the state_dict() of timm's model alone, its head included"
        )
    also = f", {len(outside)} other entries left out" if outside else ""
    return replace(weights, tensors=inside).remark(f'prefix "{prefix}" taken off{also}')


def check_head(tensors: Tensors, expected: Tensors, heads: Collection[str], offset: int, path: Path) -> None:
    """Raise `UserError` if a classifier (one of `heads`, by name) is missing, or has another number of classes.

    `offset` rows more are classes that timm cuts off. Weights of another layout than timm's pass unchecked.
    """
    if not expected.keys() & tensors.keys():
        return
    for head in heads:
        name = f"{head}.weight"
        if name not in expected:
            continue
        classes = len(expected[name])
        if name not in tensors:
            raise UserError(
                f"{path}: these weights have no head ({name}): a backbone tells no classes apart; "
                f"name weights that were fine-tuned on ImageNet-1k's {classes:,} classes"
            )
        if len(tensors[name]) != classes + offset:
            raise UserError(
                f"{path}: its head ({name}) tells {len(tensors[name]):,} classes apart and not {classes:,}; "
                f"name weights that were fine-tuned on ImageNet-1k's {classes:,} classes"
            )


def name_difference(tensors: Tensors, expected: Tensors) -> str:
    """The first difference between weights and what a model expects, in words."""
    for name in expected.keys() & tensors.keys():
        if tensors[name].shape != expected[name].shape and not RESAMPLED.search(name):
            shapes = f"{tuple(tensors[name].shape)} and not {tuple(expected[name].shape)}"
            return f"{name} is of shape {shapes}; is it another architecture?"
    missing, others = [sorted(a.keys() - b.keys()) for a, b in ((expected, tensors), (tensors, expected))]
    lacks = f"{len(missing)} of {len(expected)} are missing ({missing[0]})" if missing else "none is missing"
    has = f"{len(others)} are of no use ({others[0]})" if others else "none is left over"
    return f"{lacks}, {has}; is it another architecture, or a prefix?"


def resampled(tensors: Tensors, loaded: Tensors) -> list[str]:
    """Names of position and patch embeddings in `loaded` whose values stand nowhere in `tensors`."""
    return [
        name
        for name, tensor in loaded.items()
        if RESAMPLED.search(name) and tensor.is_floating_point()
        and not any(
            other.numel() == tensor.numel() and torch.equal(other.flatten().to(tensor), tensor.flatten())
            for other in tensors.values()
        )
    ]  # fmt: skip


def check_finite(tensors: Tensors, path: Path | str) -> None:
    """Raise `UserError` if a value is no finite number."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{path}: {name} holds values that are no finite numbers; name other weights")


def _read(path: Path) -> Any:
    """Read a file of weights by the format that its first bytes show, whatever its name."""
    head = read_head(path, 64)
    fix = "the file is truncated or damaged: download or copy it again"
    if head[8:9] == b"{" and head[4:8] == bytes(4):  # the length of a header of JSON, then the header
        return read_safetensors(path, fix)[0]
    for start, message in NOT_WEIGHTS:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(start):
            raise UserError(f"{path}: {message}")
    names = [member.filename for member in list_members(path, path, fix)]
    if any(name.endswith(".npy") for name in names):
        arrays = read_npz(path, fix)
        return {name: torch.from_numpy(array.astype(array.dtype.newbyteorder("="))) for name, array in arrays.items()}
    if any("/code/" in name for name in names):
        raise UserError(f"{path}: these weights do not load: it is a TorchScript program; save its state_dict()")
    try:
        return load_pickled(path, path, fix)
    except Unreadable as error:
        if error.reason == HOLDS_CODE:
            reason = f"these weights do not load: the file {HOLDS_CODE}"
            raise Unreadable(path, reason, "save the model's state_dict() alone") from error
        raise


def _choose_set(checkpoint: Any, path: Path) -> Weights:
    """The one set of tensors in a checkpoint; of raw and averaged ones the raw."""
    remarks: list[str] = []
    for _ in range(MAX_NESTED):  # a mapping may hold itself
        if not isinstance(checkpoint, Mapping):
            raise UserError(f"{path}: holds a {type(checkpoint).__name__} and no tensors by name; save a state_dict()")
        tensors = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}
        sets = [key for key, value in checkpoint.items() if _holds_weights(value)]
        if not sets:
            if not tensors:
                raise UserError(f"{path}: holds no tensors by name; save a model's state_dict()")
            return Weights({str(name): tensor for name, tensor in tensors.items()}, tuple(remarks))
        raw = [key for key in sets if not AVERAGED.search(str(key))]
        usual = [key for key in RAW if key in raw]
        if len(raw) > 1 and not usual:
            raise UserError(f"{path}: holds several sets of weights ({', '.join(map(str, sets))}); keep one of them")
        key = (usual or raw or sets)[0]
        kind = "raw" if raw else "averaged"
        if not raw and len(sets) > 1:
            raise UserError(f"{path}: holds several averaged sets ({', '.join(map(str, sets))}); keep one of them")
        others = [str(other) for other in sets if other != key]
        left = f", {', '.join(others)} left out" if others else ""
        remarks.append(f'{kind} weights of the key "{key}"{left}')
        checkpoint = checkpoint[key]
    raise UserError(f"{path}: its weights lie in more than {MAX_NESTED} mappings; save a model's state_dict()")


def _holds_weights(value: Any, depth: int = MAX_NESTED) -> bool:
    """Return whether a value is a mapping that holds tensors by name, directly or in another mapping."""
    if not depth or not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return any(isinstance(item, Tensor) and item.dim() > 1 for item in value.values()) or any(
        _holds_weights(item, depth - 1) for item in value.values()
    )
