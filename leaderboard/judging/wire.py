"""Messages between the judge and an editor's process: JSON and tensors, and nothing that could run code.

What comes back from a stranger's process is never unpickled.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from benchmark.core.blame import defined_at
from benchmark.core.errors import UserError
from benchmark.models.vit import Cut
from editors.core.edit import Edit, FailedEdit, ModuleEdit, TailEdit, WeightEdit
from leaderboard.judging.checks import BaseChanged
from leaderboard.judging.handles import export, take
from leaderboard.judging.module_spec import build, describe

METHODS = "editors.methods."  # the modules whose tails cross by name
HEADER = "message"  # the metadata's key
HANDLES = "handles"  # the header's key
Message = tuple[dict[str, Any], dict[str, Tensor]]
Keep = Callable[[ModuleEdit | TailEdit], int]  # the number under which an editor's process keeps what cannot cross
Call = Callable[[int, Tensor], Tensor]  # logits of what is kept under a number


def pack(header: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None, by_handle: bool = False) -> bytes:
    """A message as the bytes of a safetensors file, the header in its metadata. Tensors keep format, shape and bits.

    With `by_handle`, those on a GPU stay there, where the platform allows it, and their handles cross.
    """
    tensors = tensors or {}
    exported = {name: export(value) for name, value in tensors.items()} if by_handle else {}
    handles = {name: handle for name, handle in exported.items() if handle}
    body = {name: value.detach().contiguous().cpu() for name, value in tensors.items() if name not in handles}
    return bytes(save(body, metadata={HEADER: json.dumps({**header, HANDLES: handles})}))


def unpack(message: bytes) -> Message:
    """The header and tensors of a message, on the CPU but for those that crossed by a handle.

    Raises `ValueError` for what is no message.
    """
    length = int.from_bytes(message[:8], "little")  # of the JSON that a safetensors file begins with
    try:
        tensors = load(message)
        header = json.loads(json.loads(message[8 : 8 + length])["__metadata__"][HEADER])
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(header, dict):
        raise ValueError("no header")
    handles = header.pop(HANDLES, {})
    return header, {**tensors, **{name: take(handle) for name, handle in handles.items()}}


def encode_edit(edit: Edit, keep: Keep, base: nn.Module, probes: Tensor) -> Message:
    """An edit as a header and tensors; what cannot cross stays behind as a number that `keep` gives it.

    A module crosses if one that is built of its spec has the same logits of `probes`, images (n, 3, H, W).
    """
    header: dict[str, Any] = {"steps": int(edit.steps)}
    match edit:
        case FailedEdit(reason):
            return {**header, "kind": "failed", "reason": str(reason)}, {}
        case WeightEdit(overrides):
            return {**header, "kind": "weights"}, overrides
        case ModuleEdit(module):
            if described := describe(base, module, probes):
                return {**header, "kind": "module", "spec": described[0]}, described[1]
            return {**header, "kind": "kept module", "kept": keep(edit), "where": defined_at(module)}, {}
        case TailEdit(tail, cut):
            header |= {"block": cut.block, "ffn": cut.ffn}
            kind = type(tail)
            if not (kind.__module__.startswith(METHODS) and dataclasses.is_dataclass(tail)):
                return {**header, "kind": "kept tail", "kept": keep(edit), "where": defined_at(tail)}, {}
            values = {field.name: getattr(tail, field.name) for field in dataclasses.fields(tail)}
            tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
            plain = {name: value for name, value in values.items() if isinstance(value, (int, float))}
            header |= {"kind": "tail", "module": kind.__module__, "class": kind.__name__, "values": plain}
            return header, tensors


def decode_edit(header: Mapping[str, Any], tensors: dict[str, Tensor], base: nn.Module, call: Call) -> Edit:
    """The edit of a message, with its tensors on the base's device. Raises `ValueError` for what is none."""
    device = next(base.parameters()).device
    tensors = {name: value.to(device) for name, value in tensors.items()}
    steps = int(header["steps"])
    match header["kind"]:
        case "failed":
            return FailedEdit(str(header["reason"]), steps)
        case "weights":
            return WeightEdit(tensors, steps)
        case "module":
            return ModuleEdit(build(base, header["spec"], tensors), steps)
        case "kept module":
            return ModuleEdit(Kept(call, int(header["kept"]), str(header["where"])), steps)
        case "kept tail":
            return TailEdit(Kept(call, int(header["kept"]), str(header["where"])), _cut(header), steps)
        case "tail":
            tail = _known_tail(str(header["module"]), str(header["class"]))
            return TailEdit(tail(model=base, **header["values"], **tensors), _cut(header), steps)
    raise ValueError(f"no edit: {header['kind']}")


class Kept(nn.Module):
    """An edited model that stayed in the editor's process, which answers for it.

    where: file and line of its code, in brackets.
    """

    def __init__(self, call: Call, number: int, where: str) -> None:
        super().__init__()
        self._call, self._number, self.where = call, number, where

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, classes) of images or tokens."""
        return self._call(self._number, inputs)


def _cut(header: Mapping[str, Any]) -> Cut:
    return Cut(int(header["block"]), bool(header["ffn"]))


def _known_tail(module: str, name: str) -> Callable[..., Callable[[Tensor], Tensor]]:
    """A tail's class, from a method that comes with this project."""
    tail: Any = getattr(importlib.import_module(module), name, None) if module.startswith(METHODS) else None
    if not (isinstance(tail, type) and dataclasses.is_dataclass(tail) and "__call__" in vars(tail)):
        raise ValueError(f"no tail: {module}.{name}")
    return cast(Callable[..., Callable[[Tensor], Tensor]], tail)


def as_error(header: Mapping[str, Any], name: str) -> Exception:
    """The other process's error, from another that shows its traceback; an unforeseen one gets `name` before it."""
    error: Exception = UserError(str(header["error"]))
    if header.get("kind") == "full memory":
        error = torch.OutOfMemoryError(str(header["error"]))
    elif header.get("kind") == "changed base":
        error = BaseChanged(str(header["error"]))
    elif header.get("kind") != "for users":
        error = UserError(f"{name}: its process broke: {header['error']}")
    error.__cause__ = RuntimeError(f"in the editor's process:\n{header.get('traceback')}")
    return error
