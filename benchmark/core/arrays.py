"""The readers of tables and tensors: parquet, safetensors, npz, what `torch.save` wrote. They run no code of a file.

Like `benchmark.core.readers`, they take regular files only and raise `Unreadable`. What a file says of its own size is
compared with its bytes before anything of that size is made.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import message_line
from benchmark.core.readers import FIX, Unreadable, check_file, read_head

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

MAX_HEADER = 16 << 20  # bytes of the table of contents of a file of tensors; a ViT's has 20 kB
MAX_ROW_GROUP = 8 << 30  # bytes that one row group unpacks to; a data set's have some 100 MB
MAX_RATIO = 1000  # bytes of a table for one of its file, by its own account: repeated texts shrink a lot
HOLDS_CODE = "holds code, such as a whole pickled model, and code is never run"
FREE_ARCHIVE = 1 << 20  # bytes that an archive of tensors may unpack to, whatever its size: torch packs nothing
FREE = 256 << 20  # bytes below which a good ratio is no bomb


# ------------------------------------------------------------------------------------------ parquet


def open_parquet(
    path: Path, fix: str = FIX, *, memory_map: bool = False, checksums: bool = False
) -> contextlib.AbstractContextManager[pq.ParquetFile]:
    """A parquet file, opened. Raises `Unreadable` for one that is none, and for what turns out damaged within."""
    size = check_file(path, None, fix)
    return _opened(path, size, path, fix, memory_map=memory_map, page_checksum_verification=checksums)


def open_parquet_in(
    file: Any, size: int, where: str, fix: str = FIX, metadata: pq.FileMetaData | None = None
) -> contextlib.AbstractContextManager[pq.ParquetFile]:
    """A parquet file of `size` bytes in an open file of another system; `metadata` is its own, if it was read before.

    Raises `Unreadable`, as `open_parquet` does.
    """
    return _opened(file, size, where, fix, metadata=metadata, pre_buffer=True)


@contextlib.contextmanager
def _opened(source: Any, size: int, where: Path | str, fix: str, **settings: Any) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source, **settings) as opened:
            groups = [opened.metadata.row_group(number).total_byte_size for number in range(opened.num_row_groups)]
            if any(not 0 <= group <= max(FREE, min(MAX_ROW_GROUP, MAX_RATIO * size)) for group in groups):
                raise Unreadable(where, f"would unpack to {max(map(abs, groups)) >> 20:,} MiB at once", fix)
            names = opened.schema_arrow.names
            if doubled := [name for name in names if names.count(name) > 1]:
                raise Unreadable(where, f"has the column {doubled[0]!r:.60} twice", fix)
            yield opened
    except (pa.ArrowException, OSError, MemoryError, OverflowError) as error:
        if isinstance(error, OSError) and type(error) is not OSError and not isinstance(source, Path):
            raise  # of the other system: its network, its rights
        raise Unreadable(where, f"not a parquet file that can be read ({message_line(error)})", fix) from error


def read_parquet(
    path: Path,
    fix: str = FIX,
    *,
    schema: pa.Schema | None = None,
    columns: Sequence[str] | None = None,
    memory_map: bool = False,
    checksums: bool = False,
) -> pa.Table:
    """A parquet file's table, with at least the columns and types of `schema`, if there is one, and then only those.

    Raises `Unreadable` where a column is missing or of another type.
    """
    if schema is not None:
        columns = schema.names
    with open_parquet(path, fix, memory_map=memory_map, checksums=checksums) as opened:
        names = opened.schema_arrow.names
        for name in columns or ():
            if name not in names:
                raise Unreadable(path, f"lacks the column {name}", fix)
            if schema is not None and opened.schema_arrow.field(name).type != schema.field(name).type:
                types = f"{opened.schema_arrow.field(name).type} and not {schema.field(name).type}"
                raise Unreadable(path, f"its column {name} holds {types}", fix)
        table = opened.read(columns=list(columns) if columns is not None else None)
        table.validate(full=True)
        return table if schema is None else table.select(schema.names)


# ------------------------------------------------------------------------------------------ tensors


def read_safetensors(path: Path, fix: str = FIX) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and its metadata. Raises `Unreadable`."""
    metadata = read_metadata(path, fix)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu"), metadata
    except (SafetensorError, ValueError, OSError, KeyError, EOFError, RuntimeError, MemoryError) as error:
        raise Unreadable(path, f"its tensors do not load ({message_line(error)})", fix) from error


def read_metadata(path: Path, fix: str = FIX) -> dict[str, str]:
    """The metadata of a safetensors file, texts by name. Raises `Unreadable`."""
    from safetensors import SafetensorError, safe_open

    length = int.from_bytes(read_head(path, 8, fix), "little")
    if length > MAX_HEADER:
        raise Unreadable(path, "is no safetensors file, or its header is larger than any network's", fix)
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, ValueError, OSError, MemoryError) as error:
        raise Unreadable(path, f"is not a safetensors file ({message_line(error)})", fix) from error


def parse_tensors(data: bytes, where: str, fix: str = FIX) -> dict[str, torch.Tensor]:
    """The tensors in a safetensors file's bytes. Raises `Unreadable`."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, EOFError, RuntimeError, MemoryError) as error:
        raise Unreadable(where, f"its tensors do not load ({message_line(error)})", fix) from error


def load_pickled(source: Path | bytes, where: Path | str, fix: str = FIX, device: Any = "cpu") -> Any:
    """Tensors and plain values that `torch.save` wrote; code in the file is never run.

    Raises `Unreadable` for a damaged file, for code, for an archive that unpacks to far more than it holds, and for a
    tensor with more elements than are stored.
    """
    import torch

    size = check_file(source, None, fix) if isinstance(source, Path) else len(source)
    members = list_members(source, where, fix)
    if sum(member.file_size for member in members) > max(2 * size, FREE_ARCHIVE):
        raise Unreadable(where, "would unpack to far more than it holds", fix)
    try:
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals([argparse.Namespace]),
        ):  # timm's training keeps its options
            warnings.simplefilter("ignore")  # what torch will change is not the user's to mend
            value = torch.load(
                io.BytesIO(source) if isinstance(source, bytes) else source, map_location=device, weights_only=True
            )
    except Exception as error:  # whatever hostile bytes make of an unpickler
        if members and re.search("Unsupported|not an allowed|eights.only", str(error)):
            raise Unreadable(where, HOLDS_CODE, fix) from error
        detail = type(error).__name__ if "weights_only" in str(error) else message_line(error)
        raise Unreadable(where, f"its tensors do not load ({detail})", fix) from error
    _check_tensors(value, where, fix)
    return value


def read_npz(path: Path, fix: str = FIX) -> dict[str, np.ndarray]:
    """The arrays of numbers in an archive of NumPy (``np.savez``), by name. Raises `Unreadable`.

    Before an array is made, its size is compared with the bytes that the archive has for it.
    """
    size = check_file(path, None, fix)
    members = list_members(path, path, fix)
    if sum(member.file_size for member in members) > max(FREE, MAX_RATIO * size):
        raise Unreadable(path, "would unpack to far more than it holds", fix)
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _read_array(archive, name, path, fix) for name in archive.namelist()}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise Unreadable(path, f"its arrays do not load ({message_line(error)})", fix) from error


def _read_array(archive: zipfile.ZipFile, name: str, path: Path, fix: str) -> np.ndarray:
    import numpy as np
    from numpy.lib import format as npy

    with archive.open(name) as file:
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(file))
        if read_header is None:
            raise Unreadable(path, f"{name!r:.60} is of another version of NumPy's format", fix)
        shape, by_columns, dtype = read_header(file)
        if dtype.kind not in "fiu":
            raise Unreadable(path, f"{name!r:.60} holds {dtype!s:.20} and no plain numbers", fix)
        size = math.prod(shape) * dtype.itemsize
        data = file.read(size + 1)
    if len(data) != size:
        raise Unreadable(path, f"{name!r:.60} is of {size:,} bytes by its own account, and not by the archive's", fix)
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if by_columns else "C")


def list_members(source: Path | bytes, where: Path | str, fix: str = FIX) -> list[zipfile.ZipInfo]:
    """The files in an archive that `torch.save` wrote, and nothing for what is no archive. Raises `Unreadable`."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        if not zipfile.is_zipfile(file):
            return []
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise Unreadable(where, f"is a damaged archive ({message_line(error)})", fix) from error


def _check_tensors(value: Any, where: Path | str, fix: str) -> None:
    """Raise `Unreadable` for a tensor anywhere in `value` that is not what a file of weights holds."""
    import torch

    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, (Mapping, list, tuple)):
            if id(item) in seen:  # it may hold itself
                continue
            seen.add(id(item))
            waiting += item.values() if isinstance(item, Mapping) else item
        elif isinstance(item, torch.Tensor):
            if item.layout != torch.strided or item.is_quantized or item.is_meta or item.is_complex():
                raise Unreadable(where, "holds a tensor that is sparse, quantised, complex or without values", fix)
            if item.numel() * item.element_size() > item.untyped_storage().nbytes():
                raise Unreadable(where, f"holds a tensor of {item.numel():,} elements and fewer values", fix)
