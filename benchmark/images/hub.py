"""Images in a data set on the Hub, or in a folder in its layout, which `datasets` maps into memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError
from benchmark.core.hub import from_hub
from benchmark.core.text import printable
from benchmark.images.decode import BrokenImage
from benchmark.images.parquet import bytes_in, image_column
from benchmark.images.source import ImageSource
from benchmark.labels.imagenet import CLASSES, index_of
from benchmark.labels.names import known_class

if TYPE_CHECKING:
    import datasets
    import numpy as np

SPLITS = ("validation", "val", "test", "train")  # where labels are needed and no split is named: the first there is
LABELS = ("label", "wnid")  # columns of labels, the first there is; ImageNet-R's holds synset ids


class HubImages(ImageSource):
    """A data set that `datasets` holds; ids are ``SPLIT/ROW``, and ``SPLIT/ROW/FILE`` where files have names.

    Args:
        title: the data set's name.
        splits: name, column of images and rows of each split.
        labels: ImageNet-1k class indices, int64 (n,), if they were asked for.
    """

    def __init__(
        self, title: str, splits: Sequence[tuple[str, str, datasets.Dataset]], labels: np.ndarray | None = None
    ) -> None:
        self._title, self._splits, self._labels = title, splits, labels

    @property
    def title(self) -> str:
        return self._title

    @cached_property
    def ids(self) -> Sequence[str]:
        return [
            f"{split}/{row}/{printable(Path(path).name)}" if path else f"{split}/{row}"
            for split, column, rows in self._splits
            for row, path in enumerate(_read_paths(rows, column))
        ]

    @property
    def stamps(self) -> Sequence[str]:
        return [f"{rows._fingerprint}/{row}" for _, _, rows in self._splits for row in range(len(rows))]

    @property
    def labels(self) -> np.ndarray | None:
        return self._labels

    def __len__(self) -> int:
        return sum(len(rows) for _, _, rows in self._splits)

    def read(self, position: int) -> bytes:
        for _, column, rows in self._splits:
            if position < len(rows):
                cell = rows[position][column]
                if isinstance(cell, dict) and cell["bytes"] is None and cell["path"] is not None:
                    return _read_downloaded(cell["path"])  # as `datasets` leaves folders of images
                return bytes_in(cell)
            position -= len(rows)
        raise IndexError(position)


def open_hub(name: str, split: str | None = None, labelled: bool = False) -> HubImages:
    """The images of a data set: of ``NAME:SPLIT`` or `split` that one, else all splits; of ``NAME@REVISION`` at that.

    With labels it is one split, the first of `SPLITS` unless one is named, with one of `LABELS` as a column.

    Raises:
        UserError: if it cannot be had, has no such split, or no column of images or labels.
    """
    import datasets

    address, _, named = name.partition(":") if not Path(name).is_dir() else (name, "", "")
    repository, _, revision = address.partition("@") if not Path(name).is_dir() else (name, "", "")
    requested = named or split
    advice = "give a folder of images (where labels are needed, a folder of images per class), or of its parquet files"
    with from_hub(f"{name}: no images here, and the data set", advice, here=Path(repository).is_dir()):
        split_names = datasets.get_dataset_split_names(repository, revision=revision or None)
        if labelled and not requested:
            requested = next((split for split in SPLITS if split in split_names), None)
        if requested is None:
            loaded = dict(datasets.load_dataset(repository, revision=revision or None))
        else:
            loaded = (
                {requested: _load_split(repository, requested, revision or None)} if requested in split_names else {}
            )
    if not loaded:
        raise UserError(f"{repository} has no split {requested}; it has {', '.join(split_names)}")
    labels = _read_labels(repository, next(iter(loaded.values()))) if labelled else None
    splits = [(split, *_select_images(repository, rows)) for split, rows in loaded.items()]
    if not any(len(rows) for _, _, rows in splits):
        raise UserError(f"{name}: no images in it")
    return HubImages(name, splits, labels)


def _load_split(repository: str, split: str, revision: str | None) -> datasets.Dataset:
    """One split, without the files of the others where names differ by split (ImageNet's files are 150 GB)."""
    import datasets

    if (
        len(datasets.get_dataset_config_names(repository, revision=revision)) == 1
    ):  # else the names of several mean one split
        try:
            return datasets.load_dataset(
                repository, data_files={split: f"**/{split}-*"}, split=split, revision=revision
            )
        except FileNotFoundError:
            pass
    return datasets.load_dataset(repository, split=split, revision=revision)


def _select_images(where: str, rows: datasets.Dataset) -> tuple[str, datasets.Dataset]:
    """The name of the column of images, and the rows of that column alone, not decoded."""
    import datasets

    column = image_column(rows.features.arrow_schema, where)
    rows = rows.select_columns([column])
    if isinstance(rows.features[column], datasets.Image):
        rows = rows.cast_column(column, datasets.Image(decode=False))
    return column, rows


def _read_labels(where: str, rows: datasets.Dataset) -> np.ndarray:
    """ImageNet indices of a column of indices, or of names as `known_class` reads them.

    A ClassLabel of 1,000 names in words is taken in ImageNet's order: two classes are called "crane".
    """
    import numpy as np

    column = next((name for name in LABELS if name in rows.column_names), None)
    if column is None:
        raise UserError(f"{where}: no column of labels ({' or '.join(LABELS)}); it has {', '.join(rows.column_names)}")
    values: list[Any] = list(rows[column])
    names = getattr(rows.features[column], "names", None)
    if names is not None and (len(names) != CLASSES or all(name in index_of() for name in names)):
        values = [names[value] for value in values]
    label_of = {value: known_class(str(value), where) for value in set(values)}
    return np.array([label_of[value] for value in values], np.int64)


def _read_paths(rows: datasets.Dataset, column: str) -> list[str | None]:
    chunks = rows.data.column(column).chunks
    paths = [
        path
        for chunk in chunks
        if hasattr(chunk, "field") and chunk.type.get_field_index("path") >= 0
        for path in chunk.field("path").to_pylist()
    ]
    return paths or [None] * len(rows)


def _read_downloaded(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BrokenImage(f"cannot be read ({error.strerror})") from error
