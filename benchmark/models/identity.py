"""The identity of a base model: one hash for all that decides its predictions, and a probe for what a hash cannot see.

This identity names the model in all that is stored, resumed or compared: predictions, statistics, runs, records.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.core.devices import exact_float32, in_float64
from benchmark.images.decode import Preprocessing

FORMAT = 1  # of the identity; raise it when the same model would get another hash
PROBED = 10  # logits of the probe image that are kept: the largest
TOLERANCE = 1e-3  # between two machines' logits of the probe, as a share of the largest if that is above 1

# Set by timm if this machine's torch has a fused attention kernel, which computes the same, up to rounding.
MACHINE = frozenset(("fused_attn",))
MACHINERY = frozenset(vars(nn.Module()))  # training flag, hooks, parameters, buffers, submodules


def model_identity(module: nn.Module, preprocessing: Preprocessing) -> str:
    """Hex SHA-256 over weights, architecture, preprocessing and precision, as they are now.

    It is the same in every process, on every device and machine. Another release of timm may note another attribute
    in its modules, and then gives the same weights another identity.
    """
    spec = {
        "format": FORMAT,
        "weights": hash_weights(module),
        "architecture": describe_architecture(module),
        "preprocessing": preprocessing.to_dict(),
        "precision": precision_of(module),
    }
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def describe_architecture(module: nn.Module) -> dict[str, dict[str, Any]]:
    """Type and plain attributes of every submodule, by its name: also those that `repr` does not show.

    Plain values are numbers, texts, types, functions, and tuples or lists of them. Attributes that are None are left
    out, so that a new and unset attribute of a later release changes nothing.
    """
    return {
        name: {"": _full_name(type(submodule)), **dict(plain_attributes(submodule))}
        for name, submodule in module.named_modules(remove_duplicate=False)
    }


def precision_of(module: nn.Module) -> str:
    """The weights' number format, e.g. ``float32``."""
    return str(next(module.parameters()).dtype).removeprefix("torch.")


def hash_weights(module: nn.Module) -> str:
    """`hash_tensors` of all parameters and buffers."""
    return hash_tensors(module.state_dict())


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 over names, formats, shapes and bytes, in name order."""
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def probe_image(preprocessing: Preprocessing) -> Tensor:
    """A fixed picture (1, 3, height, width) as a model takes it, float32: waves and stripes, made by integers alone."""
    row, column = torch.meshgrid(*map(torch.arange, preprocessing.shape), indexing="ij")
    colours = [(row * (3 + c) + column * (7 - c) + row * column // (5 + c) + 31 * c) % 256 for c in range(3)]
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    return ((torch.stack(colours) / 255 - mean) / std)[None]


@torch.no_grad()
@exact_float32()
def probe_logits(module: nn.Module, preprocessing: Preprocessing) -> dict[int, float]:
    """The `PROBED` largest logits of `probe_image`, by class, rounded to 5 digits behind the point.

    They differ from machine to machine in their last digits, so they are compared (`probes_agree`) and never hashed.
    """
    weight = next(module.parameters())
    logits = in_float64(module(probe_image(preprocessing).to(weight))[0]).cpu()
    top = logits.topk(min(PROBED, len(logits)))
    return {int(label): round(float(value), 5) for value, label in zip(top.values, top.indices, strict=True)}


def probes_agree(probe: Mapping[int, float], other: Mapping[int, float], precision: str = "float32") -> bool:
    """Return whether two probes are one model's: equal within `TOLERANCE`, class by class and rank by rank.

    The least of the ten may be of different classes. Half precisions round more coarsely than
    `TOLERANCE` and may differ by 4 of their units.
    """
    unit = max(TOLERANCE, 4 * torch.finfo(getattr(torch, precision)).eps)
    tolerance = unit * max(1.0, *(abs(value) for value in (*probe.values(), *other.values())))
    pairs = [(probe[label], other[label]) for label in probe.keys() & other.keys()]
    pairs += zip(sorted(probe.values()), sorted(other.values()), strict=False)
    return len(probe) == len(other) and all(abs(value - other_value) <= tolerance for value, other_value in pairs)


def plain_attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Attributes of one module that JSON can hold, without those of `nn.Module` itself, by name."""
    for name, value in vars(module).items():
        if name not in MACHINERY | MACHINE and value is not None:
            try:
                yield name, _plain(value)
            except TypeError:  # a dict, a tensor, an object: weights hold the one, the probe sees the others
                continue


def _plain(value: Any) -> Any:
    """A value as JSON holds it. Raises `TypeError` for what is not plain."""
    if isinstance(value, Enum):
        return [_full_name(type(value)), value.name]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return f"{value:.12g}"  # the last bits of a power are the machine's
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, functools.partial):
        return [_plain(value.func), _plain(value.args), *map(_plain, sorted(value.keywords.items()))]
    if isinstance(value, type) or (callable(value) and not isinstance(value, nn.Module) and hasattr(value, "__name__")):
        return _full_name(value)
    raise TypeError(type(value).__name__)


def _full_name(definition: Any) -> str:
    """The full name of a type or function."""
    return f"{getattr(definition, '__module__', None)}.{getattr(definition, '__qualname__', definition.__name__)}"
