"""The benchmark as the harness sees it: editing samples by group, the locality set, training images.

Read with pyarrow from the Hub's layout (``<split>-*.parquet``), so that scoring needs no `datasets`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.errors import UserError, unknown
from benchmark.images import BrokenImage, Preprocessing, decode

if TYPE_CHECKING:
    import torch

MINI = Path(__file__).parent / "assets" / "mini" / "data"
MINI_VERSION = "mini-1"
EMBEDDED = {"mini": ("edit", "locality"), "mini-dev": ("dev_edit", "dev_locality")}


@dataclass(frozen=True)
class Samples:
    """Labelled images: a table (one row an image; see the data card for its columns) and their bytes."""

    table: pd.DataFrame
    encoded: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> np.ndarray:
        """ImageNet-1k class indices, int64 (n,)."""
        return self.table["label"].to_numpy(np.int64, copy=True)

    @property
    def drawings(self) -> pd.Series:
        """What each image is a view of; where no drawing is named, every image stands for itself."""
        return self.table.reindex(columns=["drawing"])["drawing"].fillna(self.table["sha256"])

    def take(self, rows: np.ndarray | Sequence[int]) -> Samples:
        """The samples at these positions, in this order."""
        rows = np.asarray(rows, dtype=np.int64)
        return Samples(self.table.iloc[rows].reset_index(drop=True), self.encoded.take(pa.array(rows)))

    def images(self, preprocessing: Preprocessing, rows: Sequence[int] | None = None) -> torch.Tensor:
        """Decoded and preprocessed images, float32 (n, 3, size, size), of all rows or of some."""
        import torch

        wanted = range(len(self)) if rows is None else rows
        if len(wanted) == 0:
            return torch.empty(0, 3, preprocessing.size, preprocessing.size)
        return torch.stack([self._image(int(row), preprocessing) for row in wanted])

    def _image(self, row: int, preprocessing: Preprocessing) -> torch.Tensor:
        try:
            return preprocessing(decode(self.encoded[row].as_py()))
        except BrokenImage as error:
            raise UserError(
                f"image {self.table['sha256'].iloc[row][:12]} of the data set does not decode ({error}); "
                "fetch or build the data set again"
            ) from error


@dataclass(frozen=True)
class Benchmark:
    """Editing samples in groups, and the locality set D_l, as one base model is judged on them.

    `source` is what it was loaded from: its training images are found by it.
    """

    name: str
    version: str
    edit: Samples
    locality: Samples
    kept: str = "all"
    source: str = ""

    def __post_init__(self) -> None:
        for split, samples in (("edit", self.edit), ("locality", self.locality)):
            if len(samples) == 0:
                raise UserError(f"the {split} split of {self.name} is empty; build or fetch the data set again")

    @property
    def groups(self) -> list[str]:
        """Group ids in the order in which they first appear."""
        return list(dict.fromkeys(self.edit.table["group_id"]))

    def group(self, wanted: str) -> str:
        """The id of a group given by id or name. Raises `UserError` with the nearest one if there is none."""
        names = dict(zip(self.edit.table["group"], self.edit.table["group_id"], strict=True))
        if wanted in names.values():
            return wanted
        if wanted not in names:
            raise unknown(f"group of {self.name}", wanted, [*names, *names.values()])
        return names[wanted]

    def members(self, group_id: str) -> np.ndarray:
        """Row numbers of one group's editing samples."""
        return np.flatnonzero((self.edit.table["group_id"] == group_id).to_numpy())

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over the bytes, labels and groups of all rows that can move a score."""
        digest = hashlib.sha256(f"{self.name} {self.version}\n".encode())
        for samples in (self.edit, self.locality):
            for row in zip(samples.table["sha256"], samples.labels, samples.table["group_id"], strict=True):
                digest.update(f"{row[0]} {row[1]} {row[2]}\n".encode())
        return digest.hexdigest()

    def filter_for(self, base: str, predictions: np.ndarray) -> Benchmark:
        """Keep the editing samples that this base gets wrong (paper, A.3); D_l stays as it is.

        `predictions` are the base's top-1 class indices of the edit split, (n,).
        """
        wrong = predictions != self.edit.labels
        if not wrong.any():
            raise UserError(f"{base} gets every editing sample of {self.name} right: there is nothing to edit")
        subset = self.edit.table["subset"]
        counts = [(name, int(wrong[subset == name].sum()), int((subset == name).sum())) for name in subset.unique()]
        kept = ", ".join(f"{name} {some:,} of {of:,} ({some / of:.0%})" for name, some, of in counts)
        return replace(self, edit=self.edit.take(np.flatnonzero(wrong)), kept=kept)


def load(name: str) -> Benchmark:
    """Load a benchmark: ``mini`` (embedded), ``mini-dev`` (to choose settings on), or a folder in the Hub's layout.

    Raises `UserError` for an unknown name or a folder without the two splits.
    """
    if name in EMBEDDED:
        edit, locality = EMBEDDED[name]
        return Benchmark(name, MINI_VERSION, read_split(MINI, edit), read_split(MINI, locality), source=name)
    folder = Path(name)
    data = folder / "data"
    if not data.is_dir():
        raise unknown("data set", name, EMBEDDED, "(or give a folder that holds data/<split>-*.parquet)")
    return Benchmark(folder.name, "local", read_split(data, "edit"), read_split(data, "locality"), source=name)


def training_images(source: str) -> Samples:
    """The labelled images that editors may learn from, of a benchmark's `source`.

    They share no drawing or photograph with what is scored.
    """
    return read_split(MINI if source in EMBEDDED else Path(source) / "data", "train")


def read_split(folder: Path, split: str) -> Samples:
    """One split from its parquet files; image bytes stay encoded. Raises `UserError` where it is not there."""
    files = sorted(folder.glob(f"{split}-*.parquet"))
    if not files:
        raise UserError(f"{folder}: no {split}-*.parquet there; is this a data set in the Hub's layout?")
    try:
        table = pa.concat_tables([pq.read_table(file) for file in files])
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{folder}: the {split} split cannot be read ({error}); fetch or build it again") from error
    missing = {"image", "label", "group_id", "subset", "sha256"} - set(table.column_names)
    if missing:
        raise UserError(f"{folder}: the {split} split lacks the column {sorted(missing)[0]}; build it again")
    encoded = pa.chunked_array([pa.compute.struct_field(chunk, "bytes") for chunk in table["image"].chunks])
    return Samples(table.drop_columns(["image"]).to_pandas(), encoded)
