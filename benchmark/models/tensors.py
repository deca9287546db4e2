"""Tensors on disk with their hash: a file that is not as it was written is known, so that it can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from benchmark.core.arrays import read_safetensors
from benchmark.core.files import MAKE_ROOM, write_bytes
from benchmark.core.readers import Unreadable
from benchmark.models.identity import hash_tensors


def write_tensors(path: Path, tensors: Mapping[str, Tensor], fix: str = MAKE_ROOM) -> None:
    """Write tensors (safetensors) and their hash, atomically. Raises `UserError` with `fix` if that cannot be done."""
    write_bytes(path, save(dict(tensors), {"sha256": hash_tensors(tensors)}), fix)


def read_tensors(path: Path) -> dict[str, Tensor] | None:
    """The tensors in a file that `write_tensors` wrote; None if there is none, or it is not as it was written.

    A file without a hash, from before there was one, is taken as it is.
    """
    try:
        tensors, metadata = read_safetensors(path)
    except Unreadable:
        return None
    return tensors if metadata.get("sha256", hash_tensors(tensors)) == hash_tensors(tensors) else None
