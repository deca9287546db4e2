"""Images in a folder: in any layout, with one folder a class, or in the layout of `mad.crawl`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from benchmark.core.errors import UserError, message_line
from benchmark.core.files import walk
from benchmark.core.text import printable
from benchmark.images.decode import BrokenImage
from benchmark.images.files import ImageFiles, is_hidden, metadata, read_image
from benchmark.labels.names import known_class

if TYPE_CHECKING:
    import numpy as np

CRAWLED = "images"  # the folder of images in a crawl's folder


@dataclass(frozen=True)
class ImageFolder(ImageFiles):
    """The image files in the folder `root` and the folders below it; links to folders are not followed.

    Only regular files count, and a file is opened only to read its image. A link to a file outside of `root` is read
    unless `links_out` is False.
    """

    root: Path
    links_out: bool = True

    @property
    def title(self) -> str:
        return str(self.root)

    @property
    def name(self) -> str:
        return printable(self.root.resolve().name)

    @cached_property
    def _metadata(self) -> dict[str, str]:
        """Path -> size and times of each file."""
        return dict(_list_files(self.root, self.root))

    @cached_property
    def files(self) -> frozenset[str]:
        return frozenset(self._metadata)

    @property
    def stamps(self) -> Sequence[str]:
        root = self.root.resolve()
        return [f"{root / path}\0{self._metadata[path]}" for path in self.paths]

    @cached_property
    def signature(self) -> str:
        digest = hashlib.sha256()  # of relative paths: a folder that was moved holds the same images
        for path in self.paths:
            digest.update(os.fsencode(path) + f"\0{self._metadata[path]}\n".encode())
        return digest.hexdigest()

    def read_file(self, path: str) -> bytes:
        file = self.root / path
        try:
            if not self.links_out and not file.resolve().is_relative_to(self.root.resolve()):
                raise BrokenImage("a link out of the folder")
        except (OSError, RuntimeError) as error:
            raise BrokenImage(f"cannot be read ({message_line(error)})") from error
        return read_image(file)

    def provenance(self) -> dict[str, str | int]:
        return {"input": self.name, "files": len(self)}


@dataclass(frozen=True)
class ClassFolder(ImageFolder):
    """A folder with one folder a class, named as `benchmark.labels.names` reads it."""

    @cached_property
    def labels(self) -> np.ndarray:
        """See `ImageSource.labels`.

        Raises:
            UserError: if no image lies in a class folder, or one lies in a folder whose name is no class.
        """
        import numpy as np

        tops = [path.partition("/")[0] for path in self.paths]
        if tops == self.paths:
            raise UserError(
                f"{self.root}: no images in class folders; put them into one folder per class (synset id or name)"
            )
        label_of = {top: known_class(top, str(self.root)) for top in dict.fromkeys(tops)}
        return np.array([label_of[top] for top in tops], np.int64)


@dataclass(frozen=True)
class Crawl(ImageFolder):
    """The files that `mad.crawl` put into ``images`` in the folder `root`, each named and known by its SHA-256."""

    @cached_property
    def _metadata(self) -> dict[str, str]:
        return dict(_list_files(self.root / CRAWLED, self.root))

    @property
    def stamps(self) -> Sequence[str]:
        return [PurePosixPath(path).stem for path in self.paths]

    def read_file(self, path: str) -> bytes:
        data = super().read_file(path)
        if hashlib.sha256(data).hexdigest() != PurePosixPath(path).stem:
            raise BrokenImage("not the bytes that it is named by")
        return data


def _list_files(folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Path below `root`, and metadata, of each regular file in `folder` that is not hidden."""
    for entry in walk(folder, is_hidden):
        if entry.is_file():
            yield Path(entry.path).relative_to(root).as_posix(), metadata(entry.stat())
