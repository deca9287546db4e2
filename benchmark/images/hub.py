"""Images in a data set on the Hub, or in a folder in its layout, which `datasets` maps into memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.errors import UserError
from benchmark.core.hub import from_hub, resolve_commit
from benchmark.core.readers import check_files_below
from benchmark.core.text import printable
from benchmark.images.cells import image_column, paths_in, read_cell, stamp_of_path
from benchmark.images.shards import check_shards, list_parquet, verify
from benchmark.images.source import ImageSource
from benchmark.labels.columns import UNKNOWN, read_labels

if TYPE_CHECKING:
    import datasets
    import numpy as np

SPLITS = ("validation", "val", "test", "train")  # where labels are needed and no split is named: the first there is
LABELS = ("label", "wnid")  # columns of labels, which agree where both are there; ImageNet-R's holds synset ids


class HubImages(ImageSource):
    """A data set that `datasets` holds; ids are ``SPLIT/ROW``, and ``SPLIT/ROW/FILE`` where files have names.

    Args:
        title: the data set's name.
        splits: name, column of images and rows of each split.
        labels: ImageNet-1k class indices, int64 (n,), if they were asked for.
        folders: folders below which images given by path may lie.
    """

    def __init__(
        self,
        title: str,
        splits: Sequence[tuple[str, str, datasets.Dataset]],
        labels: np.ndarray | None = None,
        folders: Sequence[Path] = (),
    ) -> None:
        self._title, self._splits, self._labels, self._folders = title, splits, labels, folders

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
        return [
            f"{rows._fingerprint}/{row}{stamp_of_path(path, self._folders)}"
            for _, column, rows in self._splits
            for row, path in enumerate(_read_paths(rows, column))
        ]

    @property
    def labels(self) -> np.ndarray | None:
        return self._labels

    def __len__(self) -> int:
        return sum(len(rows) for _, _, rows in self._splits)

    def read(self, position: int) -> bytes:
        for _, column, rows in self._splits:
            if position < len(rows):
                return read_cell(rows[position][column], self._folders)
            position -= len(rows)
        raise IndexError(position)


def open_hub(name: str, split: str | None = None, labelled: bool = False) -> HubImages:
    """The images of a data set: of ``NAME:SPLIT`` or `split` that one, else all splits; of ``NAME@REVISION`` at that.

    Its title names the commit, so that whoever writes it down can open the same images again.
    With labels it is one split, the first of `SPLITS` unless one is named, with one of `LABELS` as a column.

    Raises:
        UserError: if it cannot be had, has no such split, or no column of images or labels.
    """
    import datasets

    address, _, named = name.partition(":") if not Path(name).is_dir() else (name, "", "")
    repository, _, revision = address.partition("@") if not Path(address).is_dir() else (address, "", "")
    is_here, requested = Path(repository).is_dir(), named or split
    advice = "give a folder of images (where labels are needed, a folder of images per class), or of its parquet files"
    if is_here:
        check_files_below(Path(repository))
    with from_hub(f"{name}: no images here, and the data set", advice, here=is_here):
        commit = None if is_here else resolve_commit(repository, revision or None)
        split_names = datasets.get_dataset_split_names(repository, revision=commit)
        if labelled and not requested:
            requested = next((split for split in SPLITS if split in split_names), None)
        if requested is None:
            loaded = dict(datasets.load_dataset(repository, revision=commit))
        else:
            loaded = {requested: _load_split(repository, requested, commit)} if requested in split_names else {}
    if not loaded:
        raise UserError(f"{repository} has no split {requested}; it has {', '.join(split_names)}")
    if is_here:
        _check_files(Path(repository), list(loaded))
    for rows in loaded.values():  # without the Hub, `datasets` takes whatever was loaded last, of any revision
        if commit is not None and not all(commit in file["filename"] for file in rows.cache_files):
            raise UserError(f"{name}: without the Hub, the cache gives another commit than {commit}; go online once")
    labels = _read_labels(repository, next(iter(loaded.values()))) if labelled else None
    splits = [(split, *_select_images(repository, rows)) for split, rows in loaded.items()]
    if not any(len(rows) for _, _, rows in splits):
        raise UserError(f"{name}: no images in it")
    title = name if commit is None else f"{repository}@{commit}{':' * bool(named)}{named}"
    return HubImages(title, splits, labels, _folders_of(repository, next(iter(loaded.values()))))


def _check_files(folder: Path, splits: Sequence[str]) -> None:
    """Check the shards of these splits in a folder, and the hashes of their images."""
    files = list_parquet(folder)
    for split in splits:
        shards = [file for file in files if file.name.startswith(f"{split}-")]
        check_shards(shards)
        for file in shards:
            verify(file, (file.parent, folder))


def _folders_of(repository: str, rows: datasets.Dataset) -> tuple[Path, ...]:
    """The folders that paths in a data set may lead into: its own, and where `datasets` puts a folder of images."""
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    own = (Path(repository),) if Path(repository).is_dir() else ()
    if rows.info.builder_name != "imagefolder":  # the paths are its author's
        return own
    return (*own, Path(datasets.config.DOWNLOADED_DATASETS_PATH), Path(HF_HUB_CACHE))


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
        except (FileNotFoundError, ValueError):  # without the Hub, the cache is not found by the files' names
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
    """ImageNet-1k indices of the columns of labels; see `read_labels`. Raises `UserError` where some row has none."""
    columns = [name for name in LABELS if name in rows.column_names]
    if not columns:
        raise UserError(f"{where}: no column of labels ({' or '.join(LABELS)}); it has {', '.join(rows.column_names)}")
    labels, *others = [
        read_labels(list(rows[name]), f"{where}, column {name}", getattr(rows.features[name], "names", None))
        for name in columns
    ]
    if (labels == UNKNOWN).any():
        raise UserError(f"{where}: {int((labels == UNKNOWN).sum()):,} rows have no label; name a split that has labels")
    if any((labels != other).any() for other in others):
        raise UserError(f"{where}: the columns {' and '.join(columns)} name other classes; take the wrong one away")
    return labels


def _read_paths(rows: datasets.Dataset, column: str) -> list[str | None]:
    return [path for chunk in rows.data.column(column).chunks for path in paths_in(chunk).to_pylist()]
