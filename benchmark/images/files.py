"""Images that are files by name, in a folder or an archive: the files that count, and the limits on them."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from benchmark.core.readers import Unreadable, read_bytes
from benchmark.core.text import printable
from benchmark.images.decode import SUFFIXES, BrokenImage
from benchmark.images.source import ImageSource

MAX_FILE = 64 << 20  # bytes of one file; the releases hold photographs of at most a few MB


class ImageFiles(ImageSource):
    """Images among the files of a folder or an archive, by path; an image's id is its path, made printable.

    Images are the files that have an image's suffix. Hidden files and folders, and macOS's resource forks, are no
    files here.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Base name, printable, for messages and records."""

    @property
    @abstractmethod
    def files(self) -> frozenset[str]:
        """Paths of all files, images or not, relative and with ``/``."""

    @cached_property
    def paths(self) -> list[str]:
        """Paths of the images (n,), sorted."""
        return sorted(path for path in self.files if PurePosixPath(path).suffix.lower() in SUFFIXES)

    @cached_property
    def ids(self) -> Sequence[str]:
        return [printable(path) for path in self.paths]

    @abstractmethod
    def read_file(self, path: str) -> bytes:
        """The bytes of one file. Raises `BrokenImage` for one that is damaged or too large."""

    def read(self, position: int) -> bytes:
        return self.read_file(self.paths[position])

    def where(self, path: str) -> str:
        """The name of a file or folder of this source, for messages."""
        return f"{self.name}/{printable(path)}"

    @abstractmethod
    def provenance(self) -> dict[str, str | int]:
        """A description for the record: its base name, and its hash or number of images."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is left out, with all below it."""
    return name.startswith(".") or name == "__MACOSX"


def read_image(file: Path) -> bytes:
    """The bytes of an image's file. Raises `BrokenImage` for one that cannot be read, is too large or no file."""
    try:
        return read_bytes(file, MAX_FILE)
    except Unreadable as error:
        raise BrokenImage(error.reason.removeprefix("is ")) from error


def metadata(status: os.stat_result) -> str:
    """Size and times (ns) of last modification and change of a file; they differ for another file."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
