"""Images in parquet files, read a few at a time, and the choice of a table's column of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core.errors import UserError, first_line
from benchmark.images.decode import BrokenImage
from benchmark.images.files import is_hidden, metadata
from benchmark.images.source import ImageSource

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("image", "jpg", "png", "webp", "bytes")  # looked for first; else the first column that holds bytes
ROW_GROUPS = 2  # that are kept in memory


@dataclass(frozen=True)
class ParquetFile:
    """A file with `rows` images in `column`; its `stamp` changes when it does, its row groups begin at `starts`."""

    path: Path
    name: str
    column: str
    starts: tuple[int, ...]
    rows: int
    stamp: str


@dataclass(frozen=True)
class ParquetImages(ImageSource):
    """The images in parquet files, in order; ids are `FILE#ROW`, FILE relative to the folder.

    An image is a struct with `bytes`, as `datasets` writes it, or the bytes themselves. One row group is read
    at once, and two are kept.
    """

    root: Path
    files: tuple[ParquetFile, ...]

    @property
    def title(self) -> str:
        return str(self.root)

    @cached_property
    def ids(self) -> Sequence[str]:
        return [f"{file.name}#{row}" for file in self.files for row in range(file.rows)]

    @property
    def stamps(self) -> Sequence[str]:
        return [f"{file.stamp}#{row}" for file in self.files for row in range(file.rows)]

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([file.rows for file in self.files])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, position: int) -> bytes:
        file_index = int(np.searchsorted(self._ends, position, side="right"))
        file = self.files[file_index]
        row = position - int(self._ends[file_index]) + file.rows
        row_group = int(np.searchsorted(file.starts, row, side="right")) - 1
        return bytes_in(_read_row_group(file, row_group)[row - file.starts[row_group]].as_py())


def open_parquet(path: Path) -> ParquetImages:
    """The images of a parquet file, or of all in a folder and below it, by name.

    Raises:
        UserError: for a file that is no parquet or has no column of images, and where there is no row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = []
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        if any(map(is_hidden, Path(name).parts)):
            continue
        try:
            with pq.ParquetFile(file) as opened:
                row_counts = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
                column = image_column(opened.schema_arrow, str(file))
        except pa.ArrowException as error:
            raise UserError(f"{file}: not a parquet file ({first_line(error)})") from error
        stamp = f"{file.resolve()} {metadata(file.stat())}"
        starts = tuple(int(start) for start in np.cumsum([0, *row_counts])[:-1])
        files.append(ParquetFile(file, name, column, starts, sum(row_counts), stamp))
    if not sum(file.rows for file in files):
        raise UserError(f"{path}: no images in it")
    return ParquetImages(path, tuple(files))


@lru_cache(maxsize=ROW_GROUPS)
def _read_row_group(file: ParquetFile, row_group: int) -> pa.ChunkedArray:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.path) as opened:
        return opened.read_row_group(row_group, columns=[file.column]).column(file.column)


def image_column(schema: pa.Schema, where: str) -> str:
    """The column of images: of the columns of bytes, the first that `COLUMNS` names, else the first.

    Raises:
        UserError: if there is none.
    """
    import pyarrow as pa

    def holds_bytes(data_type: pa.DataType) -> bool:
        if pa.types.is_struct(data_type):
            return data_type.get_field_index("bytes") >= 0
        return pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type)

    names = [field.name for field in schema if holds_bytes(field.type)]
    if not names:
        raise UserError(f"{where}: no column of images; there is {', '.join(schema.names) or 'none at all'}")
    return min(names, key=lambda name: COLUMNS.index(name) if name in COLUMNS else len(COLUMNS))


def bytes_in(cell: Any) -> bytes:
    """The bytes in a table's cell. Raises `BrokenImage` where there are none: a path in a cell is not followed."""
    data = cell["bytes"] if isinstance(cell, dict) else cell
    if data is None:
        raise BrokenImage("its cell in the table holds no bytes")
    return data
