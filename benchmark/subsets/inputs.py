"""The inputs of a build: the images of each archive or folder by name, with the columns that describe them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.readers import parse_csv
from benchmark.core.text import printable
from benchmark.data.groups import Group
from benchmark.images.decode import BrokenImage
from benchmark.images.files import ImageFiles
from benchmark.labels.imagenet import names
from benchmark.labels.names import known_class, numbered_class

MADE_HERE = "metadata.jsonl"  # beside pictures that a command of `generation` made
ClassNames = Callable[[str], int | None]  # from a source's own name of a class to its ImageNet index, or None


@dataclass(frozen=True)
class SourceImage:
    """One image of an input: the group that it belongs to (None: locality), and its further columns."""

    name: str
    group: Group | None
    label: int | None
    columns: Mapping[str, Any]  # from columns of `benchmark.data.schema` to values

    def row(self) -> dict[str, Any]:
        """All columns of its row but those that depend on its bytes."""
        group = self.group
        return {
            "label": self.label,
            "class_name": None if self.label is None else names()[self.label],
            "group": group.name if group else None,
            "group_id": group.id if group else None,
            "subset": group.subset if group else "locality",
            "source_id": printable(self.name),
            **self.columns,
        }


@dataclass(frozen=True)
class Input:
    """One archive or folder: its images are listed but not yet read."""

    subset: str
    files: ImageFiles
    images: list[SourceImage]
    labels: str = "released"  # the origin of its labels, in a word
    notes: list[str] = field(default_factory=list)  # decisions that the reader took, a sentence each

    @property
    def is_made_again(self) -> bool:
        """True for pictures that were generated here: the paper's choice of them is not published (SPEC, 6)."""
        return any(PurePosixPath(name).name == MADE_HERE for name in self.files.files)


def folder_of(name: str) -> str:
    """The path of an image's folder; "." for the topmost."""
    return str(PurePosixPath(name).parent)


def read_csv(files: ImageFiles, name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file of an input, as text; what a row lacks is empty.

    Raises:
        UserError: if it is no CSV file in UTF-8, or lacks one of `columns`.
    """
    where, fix = files.where(name), "it must be a CSV file in UTF-8"
    try:
        text = io.TextIOWrapper(io.BytesIO(files.read_file(name)), "utf-8-sig", newline="")
    except BrokenImage as error:
        raise UserError(f"{where}: cannot be read ({error}); {fix}") from error
    rows = parse_csv(text, where, columns, fix)
    return [{key: value.strip() for key, value in row.items()} for row in rows]


def list_by_class(
    files: ImageFiles,
    group: Group,
    classes: frozenset[int],
    columns: Mapping[str, Any],
    own_names: ClassNames,
) -> list[SourceImage]:
    """List the images of a folder with one subfolder a class, by class. `own_names` reads the source's own class names.

    Raises:
        UserError: for a folder whose name is no class, or none of the group's classes.
    """
    folders = sorted(set(map(folder_of, files.paths)))
    labels = {folder: _read_label(files, folder, group, classes, own_names) for folder in folders}
    paths = sorted(files.paths, key=lambda name: (labels[folder_of(name)], name))
    return [SourceImage(name, group, labels[folder_of(name)], columns) for name in paths]


def _read_label(files: ImageFiles, folder: str, group: Group, classes: frozenset[int], own_names: ClassNames) -> int:
    where = files.where(folder)
    if folder == ".":
        raise UserError(f"{files.name}: images lie beside the folders of classes; put each into its class's")
    last = PurePosixPath(folder).name
    number = re.match(r"(\d+)_", last, flags=re.ASCII)  # as mad.review exports groups
    label = numbered_class(number[1]) if number else own_names(last)
    if label is None:
        label = known_class(last, where)
    if label not in classes:
        raise UserError(f"{where}: {names()[label]} ({label}) is none of the {len(classes)} classes of {group.name}")
    return label
