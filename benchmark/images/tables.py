"""Pools in tables: local parquet files, and data sets of the Hub. Images are read a few at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core.errors import UserError, first_line

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa
    from PIL import Image

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
class ParquetPool:
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

    @property
    def signature(self) -> str:
        return hashlib.sha256("\n".join(file.stamp for file in self.files).encode()).hexdigest()

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([file.rows for file in self.files])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, position: int) -> bytes:
        number = int(np.searchsorted(self._ends, position, side="right"))
        file = self.files[number]
        row = position - int(self._ends[number]) + file.rows
        group = int(np.searchsorted(file.starts, row, side="right")) - 1
        return _bytes(_row_group(file, group)[row - file.starts[group]].as_py())

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        from benchmark.images.decode import decode

        return decode(self.read(position), draft)


def parquet_pool(path: Path) -> ParquetPool:
    """The images of a parquet file, or of all in a folder and below it, by name.

    Raises:
        UserError: for a file that is no parquet or has no column of images, and where there is no row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    files = []
    for file in found:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        try:
            with pq.ParquetFile(file) as opened:
                groups = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
                column = _image_column(opened.schema_arrow, str(file))
        except pa.ArrowException as error:
            raise UserError(f"{file}: not a parquet file ({first_line(error)})") from error
        facts = file.stat()
        stamp = f"{file.resolve()} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"
        starts = tuple(int(start) for start in np.cumsum([0, *groups])[:-1])
        files.append(ParquetFile(file, name, column, starts, sum(groups), stamp))
    if not sum(file.rows for file in files):
        raise UserError(f"{path}: no images in it")
    return ParquetPool(path, tuple(files))


@dataclass(frozen=True)
class HubPool:
    """A data set that `datasets` has downloaded and maps into memory; ids are `SPLIT/ROW`."""

    title: str
    splits: tuple[tuple[str, str, datasets.Dataset], ...]  # name, column of images, rows

    @cached_property
    def ids(self) -> Sequence[str]:
        return [f"{name}/{row}" for name, _, split in self.splits for row in range(len(split))]

    @property
    def stamps(self) -> Sequence[str]:
        return [f"{split._fingerprint}/{row}" for _, _, split in self.splits for row in range(len(split))]

    @property
    def signature(self) -> str:
        return hashlib.sha256("\n".join(split._fingerprint for _, _, split in self.splits).encode()).hexdigest()

    def __len__(self) -> int:
        return sum(len(split) for _, _, split in self.splits)

    def read(self, position: int) -> bytes:
        for _, column, split in self.splits:
            if position < len(split):
                value = split[position][column]
                if isinstance(value, dict) and value["bytes"] is None and value["path"] is not None:
                    return _downloaded(value["path"])  # as `datasets` leaves folders of images
                return _bytes(value)
            position -= len(split)
        raise IndexError(position)

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        from benchmark.images.decode import decode

        return decode(self.read(position), draft)


def hub_pool(name: str) -> HubPool:
    """The images of a data set of the Hub, `NAMESPACE/NAME` (all splits) or `NAMESPACE/NAME:SPLIT`.

    Raises:
        UserError: if it cannot be had, has no such split, or no column of images.
    """
    import datasets

    repository, _, wanted = name.partition(":")
    try:
        loaded = datasets.load_dataset(repository)
    except Exception as error:  # whatever the Hub, the network and the many formats of data sets give
        raise UserError(
            f"{name}: no folder here, and no data set that can be had from the Hub ({first_line(error)}); "
            "download its parquet files elsewhere and name their folder"
        ) from error
    if wanted and wanted not in loaded:
        raise UserError(f"{repository} has no split {wanted}; it has {', '.join(loaded)}")
    splits = []
    for split, rows in loaded.items():
        if not wanted or split == wanted:
            column = _image_column(rows.features.arrow_schema, name)
            rows = rows.select_columns([column])
            if isinstance(rows.features[column], datasets.Image):
                rows = rows.cast_column(column, datasets.Image(decode=False))
            splits.append((split, column, rows))
    if not sum(len(rows) for _, _, rows in splits):
        raise UserError(f"{name}: no images in it")
    return HubPool(name, tuple(splits))


@lru_cache(maxsize=ROW_GROUPS)
def _row_group(file: ParquetFile, group: int) -> pa.ChunkedArray:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.path) as opened:
        return opened.read_row_group(group, columns=[file.column]).column(file.column)


def _image_column(schema: pa.Schema, where: str) -> str:
    import pyarrow as pa

    def holds_bytes(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    found = [field.name for field in schema if holds_bytes(field.type)]
    if not found:
        raise UserError(f"{where}: no column of images; there is {', '.join(schema.names) or 'none at all'}")
    return min(found, key=lambda name: COLUMNS.index(name) if name in COLUMNS else len(COLUMNS))


def _downloaded(path: str) -> bytes:
    from benchmark.images.decode import BrokenImage

    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BrokenImage(f"cannot be read ({error.strerror})") from error


def _bytes(value: Any) -> bytes:
    from benchmark.images.decode import BrokenImage

    found = value["bytes"] if isinstance(value, dict) else value
    if found is None:
        raise BrokenImage("no bytes of it in the table")
    return found
