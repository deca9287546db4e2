"""The benchmark for the harness: editing samples by group, the locality set, training images.

Read with pyarrow from the Hub's layout (``<split>-*.parquet``), so that scoring needs no `datasets`. Images stay
encoded until they are asked for.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.core.errors import UserError, unknown
from benchmark.core.files import near_path
from benchmark.core.text import name_key, printable
from benchmark.data.boundary import MARGIN, passes_rule
from benchmark.data.hub import locate
from benchmark.data.manifest import check_counts, paper_counted, read_build
from benchmark.data.packaged import EMBEDDED
from benchmark.data.scored import EDIT, FAR, LOCALITY, TAKEN
from benchmark.data.split import read_rows
from benchmark.data.twins import check_twins
from benchmark.images.card import embedded_in
from benchmark.images.decode import Preprocessing
from benchmark.images.source import ImageSource
from benchmark.labels.columns import UNKNOWN

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

CHOSEN_WITH = "vitb16"  # the base whose top-1 classes and margins chose the released D_l (paper, 5.1; SPEC, 2)


@dataclass(frozen=True)
class LabelledImages:
    """Labelled images: a table (one row an image; see the data card for its columns), and the images themselves."""

    table: pd.DataFrame
    source: ImageSource

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"LabelledImages({len(self):,} images of {printable(self.source.title)})"

    @property
    def labels(self) -> np.ndarray:
        """ImageNet-1k class indices, int64 (n,); `UNKNOWN` where there is none."""
        return self.table["label"].to_numpy(np.int64, copy=True)

    @property
    def drawings(self) -> pd.Series:
        """The drawing of which each image is a view; an image without one is named by its own hash."""
        return self.table.reindex(columns=["drawing"])["drawing"].fillna(self.table["sha256"])

    def take(self, rows: np.ndarray | Sequence[int]) -> LabelledImages:
        """The images of these rows, in this order."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True), source=self.source.take(rows))

    def image_bytes(self, row: int) -> bytes:
        """The encoded bytes of one image."""
        return self.source.read(row)

    def images(self, preprocessing: Preprocessing, rows: Sequence[int] | None = None) -> torch.Tensor:
        """Decoded and preprocessed images, float32 (n, 3, height, width), of all rows, or of `rows` in their order."""
        import torch

        rows = range(len(self)) if rows is None else rows
        if len(rows) == 0:
            return torch.empty(0, 3, *preprocessing.shape)
        return torch.stack([preprocessing(self.source.require(int(row))) for row in rows])


@dataclass(frozen=True)
class Benchmark:
    """Editing samples in groups, and the images that must not change: all of them, or those of one base.

    name: of the data set.
    version: of its images.
    edit: editing samples, each with its group.
    locality: the locality set D_l.
    locality_taken: images that a base gets right, of each class that it wrongly predicts in the groups; an edit is
        judged on those of the class that its own sample was taken for. None in data sets without this split.
    locality_far: a random draw of what a base gets right, whatever its margin. None as above.
    """

    name: str
    version: str
    edit: LabelledImages
    locality: LabelledImages
    kept_counts: str = "all"
    source: str = ""
    train: str = ""
    locality_taken: LabelledImages | None = None
    locality_far: LabelledImages | None = None

    @classmethod
    def of(
        cls, name: str, version: str, splits: Mapping[str, LabelledImages], source: str = "", train: str = ""
    ) -> Benchmark:
        """The benchmark of these images by split, of which the last two may be missing."""
        taken, far = splits.get(TAKEN), splits.get(FAR)
        return cls(name, version, splits[EDIT], splits[LOCALITY], "all", source, train, taken, far)

    def __post_init__(self) -> None:
        for split, images in self.splits.items():
            if len(images) == 0:
                raise UserError(f"the {split} split of {self.name} is empty; build or fetch the data set again")

    def __repr__(self) -> str:
        of_base = "" if self.kept_counts == "all" else f", of which a base gets wrong: {self.kept_counts}"
        return (
            f"Benchmark({printable(self.name)} {printable(self.version)}: {len(self.edit):,} editing samples in "
            f"{len(self.groups)} groups, {len(self.locality):,} locality images{of_base})"
        )

    @property
    def groups(self) -> list[str]:
        """Group ids in the order in which they first appear."""
        return list(dict.fromkeys(self.edit.table["group_id"]))

    def group(self, name: str) -> str:
        """The id of a group given by id or name, in any spelling that is no other group's.

        Raises `UserError` with the nearest one if there is none.
        """
        id_of = dict(zip(self.edit.table["group"], self.edit.table["group_id"], strict=True))
        id_of |= {group_id: group_id for group_id in id_of.values()}
        same = {group_id for known, group_id in id_of.items() if name_key(str(known)) == name_key(name)}
        if name not in id_of and len(same) != 1:
            raise unknown(f"group of {self.name}", name, id_of)
        return id_of[name] if name in id_of else same.pop()

    def members(self, group_id: str) -> np.ndarray:
        """Row numbers of one group's editing samples."""
        return np.flatnonzero((self.edit.table["group_id"] == group_id).to_numpy())

    def taken_rows(self, label: int) -> np.ndarray:
        """Row numbers of one class's images in `locality_taken`; none without that split."""
        labels = self.locality_taken.labels if self.locality_taken else np.empty(0)
        return np.flatnonzero(labels == label)

    @property
    def splits(self) -> dict[str, LabelledImages]:
        """All images that edits are judged on, by split: ``edit``, ``locality`` and, where they are there,
        ``locality_taken`` and ``locality_far``."""
        splits = {EDIT: self.edit, LOCALITY: self.locality, TAKEN: self.locality_taken, FAR: self.locality_far}
        return {split: images for split, images in splits.items() if images is not None}

    @property
    def scored_hashes(self) -> frozenset[str]:
        """The SHA-256 of every image that an edit may be judged on."""
        return frozenset(sha256 for images in self.splits.values() for sha256 in images.table["sha256"])

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over the bytes, labels and groups of all rows that can move a score."""
        digest = hashlib.sha256(f"{self.name} {self.version}\n".encode())
        for split, images in self.splits.items():
            if split in (TAKEN, FAR):  # a data set without them keeps the fingerprint that it always had
                digest.update(f"{split}\n".encode())
            rows = zip(images.table["sha256"], images.labels, images.table["group_id"], strict=True)
            for sha256, label, group_id in rows:
                digest.update(f"{sha256} {label} {group_id}\n".encode())
        return digest.hexdigest()

    def filter_for(self, base: str, predictions: np.ndarray) -> Benchmark:
        """Keep the editing samples that this base gets wrong (paper, A.3), and all of D_l.

        `predictions` are the base's top-1 class indices of the edit split, (n,). A benchmark that was filtered for this
        base before keeps its first counts.
        """
        wrong = predictions != self.edit.labels
        if not wrong.any():
            raise UserError(f"{base} gets every editing sample of {self.name} right: there is nothing to edit")
        if wrong.all() and self.kept_counts != "all":
            return self
        subset = self.edit.table["subset"]
        counts = [(name, int(wrong[subset == name].sum()), int((subset == name).sum())) for name in subset.unique()]
        in_words = [f"{name} {n_wrong:,} of {n_total:,} ({n_wrong / n_total:.0%})" for name, n_wrong, n_total in counts]
        return replace(self, edit=self.edit.take(np.flatnonzero(wrong)), kept_counts=", ".join(in_words))

    def keeping_right(self, predictions: Mapping[str, np.ndarray]) -> Benchmark:
        """Keep the images of `locality_taken` and `locality_far` that a base gets right, so that an edit can lose them.

        `predictions` are its top-1 class indices by split, (n,). A split of which nothing is left is None.
        """
        kept: dict[str, Any] = {}
        for split in (TAKEN, FAR):
            if (images := self.splits.get(split)) is not None:
                rows = np.flatnonzero(predictions[split] == images.labels)
                kept[split] = images.take(rows) if len(rows) else None
        return replace(self, **kept)

    def labelled_by(
        self,
        base: str,
        predictions: np.ndarray,
        probabilities: np.ndarray | None = None,
        margins: np.ndarray | None = None,
    ) -> Benchmark:
        """Fill in locality labels that nobody recorded, if this is the base D_l was chosen with.

        Its top-1 class is then the true label, by the first of the two rules of choice (SPEC, 2). `predictions`, with
        their `probabilities` and `margins`, are the base's on D_l, (|D_l|,). A name alone makes no label: the base must
        also pass the second rule (`passes_rule`) on the images without one; of any other base they stay `UNKNOWN`.
        """
        unknown_rows = self.locality.labels == UNKNOWN
        if base != CHOSEN_WITH or not unknown_rows.any():
            return self
        certainty = [values[unknown_rows] for values in (probabilities, margins) if values is not None]
        if len(certainty) < 2 or not passes_rule(*certainty):
            log.warning(
                "%s: these weights are called %s, but did not choose the locality set of %s by its rule (margins below "
                "%g), so its images stay without labels, and LR without a value",
                *(base, base, self.name, MARGIN),
            )
            return self
        table = self.locality.table.copy()
        table.loc[unknown_rows, "label"] = predictions[unknown_rows]
        table.loc[unknown_rows, "label_origin"] = f"top-1 of {base}"
        return replace(self, locality=replace(self.locality, table=table))


def load(name: str) -> Benchmark:
    """Load a benchmark: ``mini`` or ``real`` (embedded), ``mini-dev`` or ``real-dev`` (to choose settings on), a folder
    in the Hub's layout, or OWNER/NAME or OWNER/NAME@REVISION on the Hub.

    A folder goes before the Hub's data set of that name, as for `load_dataset`; in a fresh clone ``where2edit/...`` is
    the mini. The version of what `benchmark.build` made stands in its ``build.json``; any other's is "local".
    Raises `UserError` for an unknown name, for what cannot be had from the Hub, and for a data set without the two
    splits, without the pixels of some rows, with an editing sample without a label, with other counts than its
    ``build.json`` or with an image that stands twice (see `check_twins`).
    """
    name = embedded_in(Path(name)) or name
    if name in EMBEDDED:
        known = EMBEDDED[name]
        embedded = {split: read_split(known.data, own_name) for split, own_name in known.splits.items()}
        return Benchmark.of(name, known.version, embedded, source=name)
    folder, own_name, source = locate(name)
    if not (folder / "data").is_dir():
        hint = (
            "(or give OWNER/NAME of the Hub, or a folder that holds data/<split>-*.parquet, as benchmark.build makes)"
        )
        near = near_path(Path(name))
        raise unknown("data set", name, [*EMBEDDED, *([str(near)] if near else [])], hint)
    is_built = (folder / "build.json").is_file()
    build = read_build(folder) if is_built else {"name": own_name, "version": "local"}
    further = [split for split in (TAKEN, FAR) if any((folder / "data").glob(f"{split}-*.parquet"))]
    splits = {split: read_split(folder / "data", split) for split in (EDIT, LOCALITY, *further)}
    require_labels(splits[EDIT], f"{folder}: an editing sample")
    for split in further:
        require_labels(splits[split], f"{folder}: an image of {split}")
    if splits[EDIT].table[["group_id", "subset"]].isna().any(axis=None):
        raise UserError(f"{folder}: an editing sample has no group_id or no subset; build the data set again")
    tables = {split: images.table for split, images in splits.items()}
    if is_built:
        check_counts(folder, build, tables)
    check_twins(folder, tables, paper_counted(folder, build) if is_built else set())
    return Benchmark.of(str(build["name"]), str(build["version"]), splits, source=source, train=str(folder))


def scored_files(name: str) -> list[Path]:
    """The files that hold what edits are judged on, with labels, of `load`'s `name`: all but the training images."""
    name = embedded_in(Path(name)) or name
    data = EMBEDDED[name].data if name in EMBEDDED else locate(name)[0] / "data"
    return sorted(file for file in data.glob("*.parquet") if not file.name.startswith("train-"))


def read_split(folder: Path, split: str) -> LabelledImages:
    """One split from its parquet files; images stay encoded, and the column sha256 holds their stamps.

    A missing label is `UNKNOWN`. Raises `UserError` where the split is not there, lacks a shard or cannot be read,
    where an image is not the bytes that its row's sha256 names, where a label is no class, and where rows lack pixels.
    """
    return LabelledImages(*read_rows(folder, split))


def require_labels(images: LabelledImages, noun: str) -> None:
    """Raise `UserError` for an image without a label; `noun` is one of these images."""
    if (images.labels == UNKNOWN).any():
        raise UserError(f"{noun} has no label; build the data set again")
