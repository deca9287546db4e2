"""Images in parquet files, read a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.core import arrays
from benchmark.core.errors import UserError
from benchmark.images.cells import given_paths, image_column, path_leaf, read_cell, stamp_of_path
from benchmark.images.files import metadata
from benchmark.images.shards import check_shards, list_parquet
from benchmark.images.source import ImageSource

if TYPE_CHECKING:
    import pyarrow as pa

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

    An image is a struct with `bytes`, as `datasets` writes it, the bytes themselves, or a path below `root`. One row
    group is read at once, and two are kept.
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
        return [
            f"{file.stamp}#{row}{stamp_of_path(path, self._folders(file))}"
            for file in self.files
            for row, path in enumerate(_read_paths(file))
        ]

    def _folders(self, file: ParquetFile) -> tuple[Path, ...]:
        """The folders from which paths in a file are seen, and out of which none leads."""
        return (file.path.parent, self.root) if self.root.is_dir() else (file.path.parent,)

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
        return read_cell(_read_row_group(file, row_group)[row - file.starts[row_group]].as_py(), self._folders(file))


def open_parquet(path: Path) -> ParquetImages:
    """The images of a parquet file, or of all in a folder and below it, by name.

    Raises:
        UserError: for a file that is no parquet or has no column of images, and where there is no row.
    """
    files, paths = [], list_parquet(path) if path.is_dir() else [path]
    check_shards(paths)
    for file in paths:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        with arrays.open_parquet(file) as opened:
            row_counts = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
            column = image_column(opened.schema_arrow, str(file))
        stamp = f"{file.resolve()} {metadata(file.stat())}"
        starts = tuple(int(start) for start in np.cumsum([0, *row_counts])[:-1])
        files.append(ParquetFile(file, name, column, starts, sum(row_counts), stamp))
    if not sum(file.rows for file in files):
        raise UserError(f"{path}: no images in it")
    return ParquetImages(path, tuple(files))


@lru_cache(maxsize=ROW_GROUPS)
def _read_row_group(file: ParquetFile, row_group: int) -> pa.ChunkedArray:
    with arrays.open_parquet(file.path) as opened:
        return opened.read_row_group(row_group, columns=[file.column]).column(file.column)


def _read_paths(file: ParquetFile) -> list[str | None]:
    """The paths in a file of which some cells may lack their bytes, and None for all other cells; reads no bytes."""
    with arrays.open_parquet(file.path) as opened:
        groups = [opened.metadata.row_group(number) for number in range(opened.num_row_groups)]
        leaves = [group.column(number) for group in groups for number in range(group.num_columns)]
        of_bytes = [leaf.statistics for leaf in leaves if leaf.path_in_schema == f"{file.column}.bytes"]
        column = path_leaf(opened.schema_arrow.field(file.column))
        if column is None or (of_bytes and all(s is not None and s.null_count == 0 for s in of_bytes)):
            return [None] * file.rows
        return given_paths(opened.read(columns=[column]).column(0))
