"""Images in the cells of a table: bytes, or a path below the table's own folder; nothing else is ever opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError
from benchmark.core.text import printable
from benchmark.images.decode import BrokenImage
from benchmark.images.files import metadata, read_image

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("image", "jpg", "png", "webp", "bytes")  # looked for first; else the first column that holds bytes
PATHS = ("image", "path", "file", "file_name", "filename")  # columns of text that give images by path


def image_column(schema: pa.Schema, where: str) -> str:
    """The column of images: of the columns of bytes, the first that `COLUMNS` names, else the first.

    Without any, it is a column of paths: a struct with ``path``, as `datasets` writes it, or text called as in `PATHS`.

    Raises:
        UserError: if there is none.
    """
    names = [field.name for field in schema if _bytes_type(field.type)]
    if names:
        return min(names, key=lambda name: COLUMNS.index(name) if name in COLUMNS else len(COLUMNS))
    for field in sorted(schema, key=lambda field: PATHS.index(field.name) if field.name in PATHS else len(PATHS)):
        if _has_paths(field.type) or (field.name in PATHS and _is_text(field.type)):
            return str(field.name)
    raise UserError(f"{where}: no column of images; there is {', '.join(schema.names) or 'none at all'}")


def embedded_bytes(cells: pa.Array) -> pa.Array:
    """The bytes in a column's cells, binary (n,), null where there are none; text is never bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _bytes_type(cells.type):
        return pa.nulls(len(cells), pa.binary())
    return pc.struct_field(cells, "bytes") if pa.types.is_struct(cells.type) else cells


def paths_in(cells: pa.Array) -> pa.Array:
    """The paths in a column's cells, text (n,), null where there are none: a file's name where there are bytes, too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _has_paths(cells.type):
        return pc.struct_field(cells, "path")
    return cells if _is_text(cells.type) else pa.nulls(len(cells), pa.string())


def given_paths(cells: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """The path in each cell of a column that has no bytes, else None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(cells, pa.ChunkedArray):
        return [path for chunk in cells.chunks for path in given_paths(chunk)]
    paths = paths_in(cells)
    absent = pc.and_(pc.is_null(embedded_bytes(cells)), pc.not_equal(paths, ""))
    return pc.if_else(absent, paths, pa.scalar(None, paths.type)).to_pylist()


def read_cell(cell: Any, folders: Sequence[Path]) -> bytes:
    """The image in a table's cell: its bytes, or those of the file that `find_below` finds by its path.

    Raises `BrokenImage` where there are neither.
    """
    cell = cell if isinstance(cell, dict) else {"path": cell} if isinstance(cell, str) else {"bytes": cell}
    data, path = cell.get("bytes"), cell.get("path")
    if isinstance(data, bytes):
        return data
    if not path or not isinstance(path, str):
        raise BrokenImage("its cell in the table holds no bytes")
    file = find_below(path, folders)
    if file is None:
        raise BrokenImage(f'given by path, and no file "{printable(path)}" lies below the folder of its table')
    return read_image(file)


def find_below(path: str, folders: Sequence[Path]) -> Path | None:
    """The regular file that a path in a table means, seen from one of `folders`; None for one outside of them all.

    Links are followed before that is decided.
    """
    roots = []
    for folder in folders:
        try:
            roots.append(folder.resolve())
        except (OSError, RuntimeError):  # a link to itself
            continue
    for root in roots:
        try:
            file = (root / path).resolve()
            if any(file.is_relative_to(other) for other in roots) and file.is_file():
                return file
        except (OSError, RuntimeError, ValueError):  # no name of a file
            continue
    return None


def stamp_of_path(path: str | None, folders: Sequence[Path]) -> str:
    """Size and times of the file that a cell gives by `path`; empty where there is none."""
    file = find_below(path, folders) if path is not None else None
    return f" {metadata(file.stat())}" if file is not None else ""


def path_leaf(field: pa.Field) -> str | None:
    """The column of a parquet file that holds the paths of a column of images; None if it has only bytes."""
    if _has_paths(field.type):
        return f"{field.name}.path"
    return str(field.name) if _is_text(field.type) else None


def _bytes_type(data_type: pa.DataType) -> bool:
    """True for bytes, and for a struct with them."""
    import pyarrow as pa

    if pa.types.is_struct(data_type):
        index = data_type.get_field_index("bytes")
        return index >= 0 and _bytes_type(data_type.field(index).type)
    return pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type)


def _has_paths(data_type: pa.DataType) -> bool:
    """True for a struct with paths."""
    import pyarrow as pa

    index = data_type.get_field_index("path") if pa.types.is_struct(data_type) else -1
    return index >= 0 and _is_text(data_type.field(index).type)


def _is_text(data_type: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_string(data_type) or pa.types.is_large_string(data_type)
