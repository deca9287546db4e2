"""Unlabelled images to mine: a folder, a crawl, parquet files, a data set of the Hub, or the embedded pool.

A pool is what `benchmark.predict.engine.predict` takes (`ids`, `stamps`, `len`, `open`), with a `title` for people,
which `benchmark.images.open` takes again, and a `signature` that changes when its images do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmark.images.decode import SUFFIXES

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image


class Pool(Protocol):
    """Images by position.

    `ids` name them, `stamps` change when they do (see `benchmark.predict.engine`). `read` gives an image's file as it
    is; `open` decodes it, at a smaller scale if there is a `draft` (see `benchmark.images.decode.decode`). Both raise
    `benchmark.images.decode.BrokenImage` where that cannot be done.
    """

    @property
    def title(self) -> str: ...

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def stamps(self) -> Sequence[str]: ...

    @property
    def signature(self) -> str: ...

    def __len__(self) -> int: ...

    def read(self, position: int) -> bytes: ...

    def open(self, position: int, draft: int | None = None) -> Image.Image: ...


@dataclass(frozen=True)
class FolderPool:
    """The image files in a folder and the folders below it, by name; ids are paths relative to `root`.

    Hidden files and folders are left out, and so is all that is no regular file or has no image's suffix.
    Nothing is opened until it is asked for. A file whose path, size and times of change are the same is taken
    for the same image: reading a million files again to be sure would take longer than a search.
    """

    root: Path

    @property
    def title(self) -> str:
        return str(self.root)

    @cached_property
    def _files(self) -> list[tuple[str, str]]:
        """Path below `root`, and size and times (ns) of last modification and change, of each file, sorted."""
        return sorted(_image_files(self.root, ""))

    @cached_property
    def ids(self) -> Sequence[str]:
        # Linux allows file names that are no Unicode; tables and reports don't.
        return [os.fsencode(path).decode("utf-8", "backslashreplace") for path, _ in self._files]

    @property
    def stamps(self) -> Sequence[str]:
        root = self.root.resolve()
        return [f"{root / path}\0{facts}" for path, facts in self._files]

    @cached_property
    def signature(self) -> str:
        digest = hashlib.sha256()
        for path, facts in self._files:
            digest.update(os.fsencode(path) + f"\0{facts}\n".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._files)

    def read(self, position: int) -> bytes:
        from benchmark.images.decode import BrokenImage

        try:
            return (self.root / self._files[position][0]).read_bytes()
        except OSError as error:
            raise BrokenImage(f"cannot be read ({error.strerror})") from error

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        from benchmark.images.decode import decode

        return decode(self.root / self._files[position][0], draft)


@dataclass(frozen=True)
class CrawlPool(FolderPool):
    """What `mad.crawl` put into the folder `root`: the files in `images`, each named by its SHA-256."""

    @cached_property
    def _files(self) -> list[tuple[str, str]]:
        return sorted((f"images/{path}", facts) for path, facts in _image_files(self.root / "images", ""))

    @property
    def stamps(self) -> Sequence[str]:
        return [Path(path).stem for path, _ in self._files]


@dataclass(frozen=True)
class EncodedPool:
    """Encoded images in memory, such as the embedded pool; ids are the SHA-256 of their bytes."""

    title: str
    ids: Sequence[str]
    encoded: pa.ChunkedArray

    @property
    def stamps(self) -> Sequence[str]:
        return self.ids

    @cached_property
    def signature(self) -> str:
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, position: int) -> bytes:
        return self.encoded[position].as_py()

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        from benchmark.images.decode import decode

        return decode(self.read(position), draft)


def _image_files(folder: Path, below: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _image_files(folder / entry.name, f"{below}{entry.name}/")
            elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
                found = entry.stat()
                yield below + entry.name, f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
