"""The parquet files of a data set: none is missing, none is of another set, and images are what `sha256` names."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark.core.arrays import open_parquet
from benchmark.core.errors import UserError
from benchmark.core.files import cache_folder, walk, write_text
from benchmark.core.readers import Unreadable, read_text
from benchmark.core.text import printable
from benchmark.images.cells import embedded_bytes, given_paths, image_column, read_cell
from benchmark.images.decode import BrokenImage
from benchmark.images.files import is_hidden, metadata

SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<total>\d+)(-[0-9a-f]{16})?\.parquet")  # some name a hash
AS_SHARD = re.compile(r"-of-\d+")
ROWS = 100  # read at once
TICK = 0.1  # seconds; a file that changed within them can change again without other times


def list_parquet(folder: Path) -> list[Path]:
    """The parquet files in a folder and below it, sorted; hidden ones are left out."""
    files = (Path(entry.path) for entry in walk(folder, is_hidden))
    return sorted(file for file in files if file.suffix == ".parquet")


def check_shards(files: Sequence[Path]) -> None:
    """Raise `UserError` unless files called ``NAME-00000-of-00002.parquet`` are all of one set, and each once.

    A pipe or a device, from which reading might never end, is refused, and so is a folder.
    """
    sets: dict[tuple[Path, str], dict[int, Path]] = {}
    totals: dict[tuple[Path, str], int] = {}
    for file in files:
        if file.exists() and not file.is_file():
            raise UserError(f"{file}: must be a file; take it away")
        name = SHARD.fullmatch(file.name)
        if name is None:
            if AS_SHARD.search(file.name):
                raise UserError(f"{file}: a copy of a shard, by its name; take it away, it would count twice")
            continue
        key, number, total = (file.parent, name["stem"]), int(name["number"]), int(name["total"])
        if totals.setdefault(key, total) != total:
            raise UserError(
                f"{file.parent}: shards of two sets lie there, {name['stem']}-*-of-{totals[key]:05d} and "
                f"-of-{total:05d}; take those of one away"
            )
        shards = sets.setdefault(key, {})
        if number >= total or number in shards:
            other = shards.get(number, file)
            raise UserError(f"{file.parent}: {other.name} and {file.name} are no shards of one set; fetch it again")
        shards[number] = file
    for (folder, stem), shards in sets.items():
        missing = [number for number in range(min(totals[folder, stem], len(shards) + 1)) if number not in shards]
        if missing:
            raise UserError(
                f"{folder}: {stem}-{missing[0]:05d}-of-{totals[folder, stem]:05d}.parquet is missing; fetch it, or "
                "name the other files otherwise if they are all you mean"
            )


def verify(file: Path, folders: Sequence[Path]) -> None:
    """Check that the images of a parquet file are the bytes that its column ``sha256`` names, where it has one.

    A file is hashed once: what was verified is remembered in the cache, by path, inode, size and times. Images that are
    given by path, below `folders`, are hashed every time.

    Raises:
        UserError: for a file that cannot be read, images with other bytes, and paths that lead to no image.
    """
    status = file.stat()
    stamp = printable(f"{file.resolve()} {status.st_ino} {metadata(status)}")
    mark = cache_folder() / "verified" / hashlib.sha256(stamp.encode()).hexdigest()
    with contextlib.suppress(Unreadable):
        if read_text(mark) == stamp:
            return
    is_embedded, position, differing = True, 0, []
    try:
        with open_parquet(file, "fetch or build it again", memory_map=True) as opened:
            if "sha256" not in opened.schema_arrow.names:
                return
            column = image_column(opened.schema_arrow, str(file))
            for batch in opened.iter_batches(ROWS, columns=[column, "sha256"]):
                cells = batch.column(column)
                paths = given_paths(cells)
                is_embedded = is_embedded and not any(paths)
                digests = batch.column("sha256").to_pylist()
                for data, path, digest in zip(embedded_bytes(cells), paths, digests, strict=True):
                    if data.is_valid or path is not None:
                        image = data.as_buffer() if data.is_valid else read_cell(path, folders)
                        if hashlib.sha256(image).hexdigest() != digest:
                            differing.append(position)
                    position += 1
    except BrokenImage as error:
        raise UserError(f"{file}: the image of row {position} is {error}; put it there, or its bytes here") from error
    if differing:
        raise UserError(
            f"{file}: {len(differing):,} of {position:,} images are other bytes than their sha256 names (first row "
            f"{differing[0]}); fetch or build it again, or write that column anew if you changed them"
        )
    if is_embedded and time.time() - max(status.st_mtime, status.st_ctime) > TICK:
        with contextlib.suppress(UserError):  # a cache that cannot be written only forgets
            write_text(mark, stamp)
