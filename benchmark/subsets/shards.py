"""From listed inputs to parquet files: images are read, checked and written as a stream.

Two things bound the memory: at most `AHEAD` images are read before they are written, and a row group is written
once it has `ROWS_A_GROUP` rows or `GROUP_BYTES` bytes.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.data.schema import ROWS_A_GROUP, features
from benchmark.images.decode import BrokenImage, decode
from benchmark.subsets.inputs import Input, SourceImage

READERS = 2  # threads that read and decode; Pillow and zlib release the interpreter lock
AHEAD = 16
GROUP_BYTES = 8 << 20
SHARD_BYTES = 400 << 20  # of one parquet file; the Hub advises against files much larger


def read_rows(source: Input) -> Iterator[tuple[SourceImage, dict[str, Any] | str]]:
    """Read each image, in order, into its row, or give the reason why it can't be read."""
    with ThreadPoolExecutor(READERS) as readers:
        pending: deque[tuple[SourceImage, Future[dict[str, Any] | str]]] = deque()
        try:
            for image in source.images:
                pending.append((image, readers.submit(_read_row, source, image)))
                if len(pending) == AHEAD:
                    first, future = pending.popleft()
                    yield first, future.result()
            while pending:
                first, future = pending.popleft()
                yield first, future.result()
        finally:
            readers.shutdown(cancel_futures=True)


def _read_row(source: Input, image: SourceImage) -> dict[str, Any] | str:
    """Read the row of one image: its bytes unchanged, if they decode in full."""
    try:
        data = source.files.read_file(image.name)
        decode(data)
    except BrokenImage as error:
        return str(error)
    digest = hashlib.sha256(data).hexdigest()
    path = digest[:16] + PurePosixPath(image.name).suffix.lower()
    return {"image": {"bytes": data, "path": path}, **image.row(), "sha256": digest}


class Shards:
    """Writes the rows of one split and subset as ``<stem>-<number>-of-<count>.parquet``; none if there is no row."""

    def __init__(self, folder: Path, stem: str, change: Callable[[pa.Table], pa.Table] | None = None) -> None:
        self._folder, self._stem, self._change = folder, stem, change
        self._schema = features().arrow_schema
        self._rows: list[dict[str, Any]] = []
        self._buffered = 0
        self._files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if error_type is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()
        if error_type is None:
            for number, file in enumerate(self._files):
                file.rename(self._folder / f"{self._stem}-{number:05d}-of-{len(self._files):05d}.parquet")

    def add(self, row: dict[str, Any]) -> None:
        """Write one row; columns that it lacks are null."""
        self._rows.append(row)
        self._buffered += len(row["image"]["bytes"])
        if len(self._rows) == ROWS_A_GROUP or self._buffered >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=self._schema)
        if self._change is not None:
            table = self._change(table)
        if self._writer is None or self._files[-1].stat().st_size >= SHARD_BYTES:
            self._open()
        assert self._writer is not None
        self._writer.write_table(table)
        self._rows, self._buffered = [], 0

    def _open(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._files.append(self._folder / f"{self._stem}-{len(self._files):05d}.part")
        texts = [name for name in self._schema.names if name != "image"]
        compression = {**dict.fromkeys(texts, "zstd"), "image.bytes": "none", "image.path": "zstd"}  # images are packed
        self._writer = pq.ParquetWriter(self._files[-1], self._schema, compression=compression, use_dictionary=texts)
