"""A part of a large data set on the Hub, drawn by seed: whole row groups of its parquet files, by byte range."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core.arrays import open_parquet_in, read_parquet
from benchmark.core.csvs import write_csv
from benchmark.core.errors import UserError
from benchmark.core.files import write_bytes
from benchmark.core.hub import from_hub
from benchmark.core.readers import read_csv
from benchmark.data.schema import features
from benchmark.data.split import class_names
from benchmark.fetching.lock import Entry
from benchmark.fetching.repository import Repository, advice
from benchmark.fetching.transfer import check_room, progress
from benchmark.images.cells import embedded_bytes
from benchmark.labels.columns import read_labels
from benchmark.labels.imagenet import CLASSES, names

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

COUNTS = "counts.csv"  # of the classes


@dataclass(frozen=True)
class RowGroup:
    """One row group of a file at the origin: its number there, its rows, and its bytes as they are sent."""

    file: str
    number: int
    rows: int
    n_bytes: int

    @property
    def name(self) -> str:
        """Its path here, in the Hub's layout, such as ``data/train-00012-0003.parquet``."""
        return f"data/{Path(self.file).stem.partition('-of-')[0]}-{self.number:04d}.parquet"


class RemoteFiles:
    """The parquet files of a repository at a commit, read by byte range; each file's footer is read once."""

    def __init__(self, repository: Repository, commit: str) -> None:
        from huggingface_hub import HfFileSystem

        self._files, self._address = HfFileSystem(skip_instance_cache=True), repository.address
        self._root = f"{'' if repository.is_model else 'datasets/'}{repository.name}@{commit}"
        self._opened: dict[str, tuple[Any, pq.FileMetaData]] = {}

    @contextmanager
    def open(self, name: str) -> Iterator[pq.ParquetFile]:
        """One of the files, opened. Raises `Unreadable` for a file that is none."""
        file, metadata = self._opened.get(name) or (self._files.open(f"{self._root}/{name}", cache_type="none"), None)
        with open_parquet_in(file, file.size, f"{self._address}, {name}", metadata=metadata) as parquet:
            self._opened[name] = file, parquet.metadata
            yield parquet


@dataclass(frozen=True)
class RowGroups:
    """Row groups of a data set's ``image`` and ``label``, drawn until there are enough images, or too many bytes.

    A draw takes one row group of each file, in a random order of the files, then a second one of each, and so on.

    repository: the data set; its pattern names the files.
    images: that are enough.
    most: bytes that are not exceeded.
    seed: of the draw.
    source: the images' origin, as the column `source` has it.
    """

    repository: Repository
    images: int
    most: int
    source: str
    seed: int = 0

    @property
    def address(self) -> str:
        """See `Origin.address`."""
        return self.repository.address

    def fetch(self, folder: Path, entry: Entry) -> None:
        """See `Origin.fetch`. Each row group is a parquet file with the columns of `benchmark.data.schema`."""
        with from_hub(self.address, advice(f"{self.address} to get the right to it, then run `hf auth login`")):
            files = [file.path for file in self.repository.list_files(entry)]
            remote = RemoteFiles(self.repository, entry.note["revision"])
            groups = self._plan(files, remote, entry)
            missing = [group for group in groups if not _is_there(folder, group, entry)]
            total, needed = (sum(group.n_bytes for group in of) for of in (groups, missing))
            check_room(_existing(folder), needed, entry.name)
            with progress(entry.name, total, total - needed) as bar:
                for group in missing:
                    with remote.open(group.file) as parquet:
                        table = parquet.read_row_group(group.number, columns=["image", "label"])
                    write_bytes(folder / group.name, self._encoded(table, group))
                    entry.add_file(group.name, folder / group.name)
                    entry.save()
                    bar.update(group.n_bytes)
        self._count(folder, groups)

    def find_local(self, folder: Path, name: str) -> Path | None:
        """See `Origin.find_local`."""
        return self.repository.find_local(folder, name)

    def _plan(self, files: list[str], remote: RemoteFiles, entry: Entry) -> list[RowGroup]:
        """The row groups of the draw, from the lock file where they are noted."""
        noted = entry.note.get("row_groups")
        if isinstance(noted, list) and noted:
            return [RowGroup(*values) for values in noted]
        footers: dict[str, list[RowGroup]] = {}

        def of_file(file: str) -> list[RowGroup]:
            if file not in footers:
                with remote.open(file) as parquet:
                    groups = _groups(file, parquet.metadata)
                order = np.random.default_rng([self.seed, files.index(file)]).permutation(len(groups))
                footers[file] = [groups[number] for number in order]
            return footers[file]

        chosen, rows, n_bytes = [], 0, 0
        for group in _round_robin(files, of_file, self.seed):
            if rows >= self.images or n_bytes + group.n_bytes > self.most:
                break
            chosen.append(group)
            rows, n_bytes = rows + group.rows, n_bytes + group.n_bytes
        if not chosen:
            raise UserError(f"{self.address}: no row group of at most {self.most:,} bytes in it; name a local copy")
        entry.save(row_groups=[[group.file, group.number, group.rows, group.n_bytes] for group in chosen])
        return chosen

    def _encoded(self, table: pa.Table, group: RowGroup) -> bytes:
        """A row group as a file of the benchmark's schema."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        where = f"{self.address}, {group.file}"
        labels = read_labels(table["label"].to_pylist(), where, class_names(table.schema, "label"))
        images = [data for chunk in table["image"].chunks for data in embedded_bytes(chunk).to_pylist()]
        if None in images:
            raise UserError(f"{where}: an image without bytes; name a local copy with --from-folder")
        digests = [hashlib.sha256(data).hexdigest() for data in images]
        rows: dict[str, Any] = {
            "image": [{"bytes": data, "path": None} for data in images],
            "label": labels,
            "class_name": [names()[label] if label >= 0 else None for label in labels],
            "label_origin": ["released"] * len(images),
            "source": [self.source] * len(images),
            "source_id": [f"{group.file}#{group.number}/{row}" for row in range(len(images))],
            "sha256": digests,
        }
        schema = features().arrow_schema
        columns = [pa.array(rows.get(name, [None] * len(images)), schema.field(name).type) for name in schema.names]
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.table(columns, schema=schema), buffer, compression="none")
        return buffer.getvalue().to_pybytes()

    def _count(self, folder: Path, groups: list[RowGroup]) -> None:
        """Write how many images of each class there are."""
        labels = [read_parquet(folder / group.name, columns=["label"])["label"].to_numpy() for group in groups]
        counts = np.bincount(np.concatenate(labels), minlength=CLASSES)
        rows = [(index, name, int(count)) for index, (name, count) in enumerate(zip(names(), counts, strict=True))]
        write_csv(folder / COUNTS, ("label", "class_name", "images"), rows)


def describe_counts(file: Path) -> str:
    """The counts by class that `RowGroups.fetch` wrote, in a line."""
    counts = {row["class_name"]: int(row["images"]) for row in read_csv(file, ("class_name", "images"))}
    images = [*counts.values()]
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    return (
        f"  {sum(images):,} images of {sum(map(bool, images)):,} classes; of one class {np.median(images):g} in the "
        f"middle, from {counts[least]} ({least}) to {counts[most]} ({most}); all counts: {file}"
    )


def _groups(file: str, metadata: pq.FileMetaData) -> list[RowGroup]:
    """The row groups of a file, with the bytes of all their columns as they are sent."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [sum(g.column(number).total_compressed_size for number in range(g.num_columns)) for g in groups]
    return [
        RowGroup(file, number, g.num_rows, size) for number, (g, size) in enumerate(zip(groups, sizes, strict=True))
    ]


def _round_robin(files: list[str], of_file: Callable[[str], list[RowGroup]], seed: int) -> Iterator[RowGroup]:
    """One row group of each file in a random order of the files, then the next of each, until none is left."""
    order = [files[number] for number in np.random.default_rng(seed).permutation(len(files))]
    turn = 0
    while waiting := [file for file in order if turn == 0 or len(of_file(file)) > turn]:
        for file in waiting:
            if len(of_file(file)) > turn:
                yield of_file(file)[turn]
        turn += 1


def _is_there(folder: Path, group: RowGroup, entry: Entry) -> bool:
    path, known = folder / group.name, entry.files.get(group.name)
    return path.is_file() and known is not None and path.stat().st_size == known["bytes"]


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())
