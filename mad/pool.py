"""Unlabelled images to mine: a folder, a crawl, or the pool that is embedded in this package.

A pool is what `benchmark.predict.predict` takes (`ids`, `len`, `open`), with a `title` for people and a
`signature` that changes when its images do, so that no prediction outlives its image.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmark.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

CRAWL = Path("crawl")  # where `mad.crawl` puts what it finds, seen from the working directory
EMBEDDED_SPLITS = ("pool", "edit", "dev_edit")
SUFFIXES = frozenset((".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))


class Pool(Protocol):
    """Images by position; `open` raises `benchmark.images.BrokenImage` for what does not decode."""

    @property
    def title(self) -> str: ...

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def signature(self) -> str: ...

    def __len__(self) -> int: ...

    def open(self, position: int) -> Image.Image: ...


@dataclass(frozen=True)
class FolderPool:
    """The image files in a folder and the folders below it, by name; ids are paths relative to `root`.

    Hidden files and folders are left out, and so is all that is no regular file or has no image's suffix.
    Nothing is opened until it is asked for.
    """

    root: Path

    @property
    def title(self) -> str:
        return str(self.root)

    @cached_property
    def _files(self) -> list[tuple[str, int, int]]:
        """Path below `root`, bytes and modification time (ns) of each file, sorted by path."""
        return sorted(_image_files(self.root, ""))

    @cached_property
    def ids(self) -> Sequence[str]:
        # Linux allows file names that are no Unicode; tables and reports don't.
        return [os.fsencode(path).decode("utf-8", "backslashreplace") for path, _, _ in self._files]

    @cached_property
    def signature(self) -> str:
        digest = hashlib.sha256()
        for path, size, modified in self._files:
            digest.update(os.fsencode(path) + f"\0{size}\0{modified}\n".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._files)

    def open(self, position: int) -> Image.Image:
        from benchmark.images import decode

        return decode(self.root / self._files[position][0])


@dataclass(frozen=True)
class EncodedPool:
    """Encoded images in memory, such as the embedded pool; ids are the SHA-256 of their bytes."""

    title: str
    ids: Sequence[str]
    encoded: pa.ChunkedArray

    @cached_property
    def signature(self) -> str:
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def open(self, position: int) -> Image.Image:
        from benchmark.images import decode

        return decode(self.encoded[position].as_py())


def open_pool(folder: Path | None = None) -> Pool:
    """The pool in `folder`; without one, `./crawl` if it is there, else the embedded pool.

    Raises:
        UserError: if the folder is not there, or holds no image.
    """
    if folder is None:
        return open_pool(CRAWL) if CRAWL.is_dir() else embedded_pool()
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {problem}; --pool takes a folder of images")
    pool = FolderPool(folder)
    if not len(pool):
        raise UserError(f"{folder}: no images in it or below (looked for {', '.join(sorted(SUFFIXES))})")
    return pool


def embedded_pool() -> EncodedPool:
    """The mini benchmark's images, labels left aside: every picture once, in the order of the data set."""
    import numpy as np
    import pyarrow as pa

    from benchmark.dataset import MINI, read_split

    splits = [read_split(MINI, split) for split in EMBEDDED_SPLITS]
    ids = np.concatenate([split.table["sha256"].to_numpy(str) for split in splits])
    encoded = pa.chunked_array([chunk for split in splits for chunk in split.encoded.chunks])
    rows = np.sort(np.unique(ids, return_index=True)[1])
    return EncodedPool("the embedded pool", ids[rows].tolist(), encoded.take(pa.array(rows)))


def _image_files(folder: Path, below: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _image_files(folder / entry.name, f"{below}{entry.name}/")
            elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
                found = entry.stat()
                yield below + entry.name, found.st_size, found.st_mtime_ns
