"""Labelled images to choose from: a folder with one folder a class, or a data set on the Hub."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from benchmark.core.errors import UserError, first_line
from benchmark.core.text import printable
from benchmark.images.archives import FolderTree
from benchmark.images.decode import SUFFIXES, BrokenImage
from benchmark.labels.imagenet import CLASSES, index_of
from benchmark.labels.names import known_class

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SPLITS = ("validation", "val", "test", "train")  # of a data set on the Hub: the first that it has
LABELS = ("label", "wnid")  # its column of labels: the first that it has; ImageNet-R's holds synset ids


class Labelled(Protocol):
    """Images by position. `ids` are printable, `labels` ImageNet indices; `signature` changes with the images."""

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[int]: ...

    @property
    def signature(self) -> str: ...

    def read(self, position: int) -> bytes:
        """An image as it is encoded. Raises `BrokenImage` for one that cannot be read."""


@dataclass(frozen=True)
class ByClass:
    """A folder by class; see `images_by_class`. An image's id is its path below the folder."""

    folder: Path

    @cached_property
    def _found(self) -> list[tuple[int, str]]:
        return images_by_class(self.folder)

    @cached_property
    def ids(self) -> Sequence[str]:
        return [printable(name) for _, name in self._found]

    @cached_property
    def labels(self) -> Sequence[int]:
        return [label for label, _ in self._found]

    @cached_property
    def signature(self) -> str:
        digest = hashlib.sha256()
        for _, name in self._found:
            found = (self.folder / name).stat()
            digest.update(os.fsencode(name) + f"\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def read(self, position: int) -> bytes:
        return FolderTree(self.folder).read(self._found[position][1])


class OnTheHub:
    """A data set on the Hub with a column ``image`` and one of `LABELS`; an image's id is its row and file name.

    Only one split is fetched, the first of `SPLITS` that is there. Raises `UserError` if it cannot be had.
    """

    def __init__(self, name: str) -> None:
        import datasets

        try:
            known = datasets.get_dataset_split_names(name)
            split = next((one for one in SPLITS if one in known), None)
            if split is None:
                raise ValueError(f"it has the splits {', '.join(known)} and none of {', '.join(SPLITS)}")
            table: Any = _one_split(name, split)
            column = next((one for one in LABELS if one in table.column_names), None)
            if column is None or "image" not in table.column_names:
                raise ValueError(f"it has the columns {', '.join(table.column_names)}, not image and label")
        except Exception as error:  # network, name, access and format errors have no common class
            raise UserError(
                f"{name} is no folder here, and the Hub gives no labelled images by that name "
                f"({type(error).__name__}: {first_line(error)}); "
                "give a folder of images per class (folder/class/image.jpg)"
            ) from error
        self.labels = _classes(name, table, column)
        self.signature = hashlib.sha256(f"{name} {split} {len(table)} {table._fingerprint}".encode()).hexdigest()
        self._images = table.select_columns("image").cast_column("image", datasets.Image(decode=False))
        self._split = split

    @cached_property
    def ids(self) -> Sequence[str]:
        chunks = self._images.data.column("image").chunks
        paths = [path for chunk in chunks for path in chunk.field("path").to_pylist()]
        return [f"{self._split}/{row}/{printable(Path(path or '').name)}" for row, path in enumerate(paths)]

    def read(self, position: int) -> bytes:
        item = self._images[position]["image"]
        if item["bytes"] is not None:
            return item["bytes"]
        try:
            return Path(item["path"]).read_bytes()
        except (OSError, TypeError) as error:
            raise BrokenImage("has no bytes") from error


class Joined:
    """Several sources one after the other, as `benchmark.predict.engine` takes images; `source` tells them apart."""

    def __init__(self, sources: dict[str, Labelled]) -> None:
        import numpy as np

        self._where = [(name, position) for name, one in sources.items() for position in range(len(one.labels))]
        self._sources = sources
        self.source = [name for name, _ in self._where]
        self.source_ids = [found for one in sources.values() for found in one.ids]
        self.ids = [f"{name}/{found}" for name, found in zip(self.source, self.source_ids, strict=True)]
        self.labels: np.ndarray = np.array([label for one in sources.values() for label in one.labels], np.int64)

    @property
    def signature(self) -> str:
        """Hex SHA-256 of the sources' own."""
        return hashlib.sha256("".join(one.signature for one in self._sources.values()).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._where)

    def read(self, position: int) -> bytes:
        """An image as it is encoded. Raises `BrokenImage` for one that cannot be read."""
        name, inside = self._where[position]
        return self._sources[name].read(inside)

    def open(self, position: int) -> Image.Image:
        from benchmark.images.decode import decode

        return decode(self.read(position))


def open_labelled(name: str) -> Labelled:
    """A folder by class, or a data set on the Hub or in its layout. Raises `UserError` if it is neither."""
    folder = Path(name)
    return ByClass(folder) if folder.is_dir() and not (folder / "data").is_dir() else OnTheHub(name)


def suffix_of(name: str, data: bytes) -> str:
    """The file suffix for an image: its name's, if that is an image's, else that of its format."""
    import io

    from PIL import Image

    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in SUFFIXES else f".{(Image.open(io.BytesIO(data)).format or 'jpeg').lower()}"


def images_by_class(folder: Path) -> list[tuple[int, str]]:
    """(ImageNet index, path below `folder`) of all images in its class folders, by path.

    Raises `UserError` for a folder that is not there or holds no image in a class folder, and for an image in a
    folder whose name is no class.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; it takes one folder of images per class (folder/class/image.jpg)")
    found = FolderTree(folder).images
    if not any("/" in name for name in found):
        raise UserError(f"{folder}: no images in class folders; put them into one folder a class (synset id or name)")
    index: dict[str, int] = {}
    for top in dict.fromkeys(name.partition("/")[0] for name in found):
        index[top] = known_class(top, str(folder))
    return [(index[name.partition("/")[0]], name) for name in found]


def _one_split(name: str, split: str) -> Any:
    """One split, without the files of the others where their names tell them apart (ImageNet's are 150 GB)."""
    import datasets

    try:
        return datasets.load_dataset(name, data_files={split: f"**/{split}-*"}, split=split)
    except FileNotFoundError:
        return datasets.load_dataset(name, split=split)


def _classes(name: str, table: Any, column: str) -> list[int]:
    """ImageNet indices of a column of indices, or of names as `known_class` reads them.

    A ClassLabel of 1,000 names in words is taken in ImageNet's order: two classes are called "crane".
    """
    values = list(table[column])
    names = getattr(table.features[column], "names", None)
    if names is not None and (len(names) != CLASSES or all(name in index_of() for name in names)):
        values = [names[value] for value in values]
    known = {value: known_class(str(value), name) for value in set(values)}
    return [known[value] for value in values]
