"""The data sets that the package itself holds, by the names under which `load` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.files import ASSETS
from benchmark.data.scored import EDIT, FAR, LOCALITY, TAKEN

MINI = ASSETS / "mini" / "data"
MINI_VERSION = "mini-1"
MINI_TITLE = "the embedded pool"
REAL = ASSETS / "real" / "data"
REAL_VERSION = "real-1"
REAL_TITLE = "the embedded images of real"
SCORED = {EDIT: "edit", LOCALITY: "locality", TAKEN: "locality_taken", FAR: "locality_far"}
DEV = {EDIT: "dev_edit", LOCALITY: "dev_locality"}


@dataclass(frozen=True)
class Packaged:
    """One name.

    version: of the images.
    data: the folder of its parquet files.
    splits: from the splits of a benchmark to those of the data.
    title: of its images as a pool, which a search writes down.
    """

    version: str
    data: Path
    splits: Mapping[str, str]
    title: str

    @property
    def is_scored(self) -> bool:
        """Return whether editors are scored on it; else settings are chosen on it."""
        return self.splits is SCORED


EMBEDDED = {
    "mini": Packaged(MINI_VERSION, MINI, SCORED, MINI_TITLE),
    "mini-dev": Packaged(MINI_VERSION, MINI, DEV, MINI_TITLE),
    "real": Packaged(REAL_VERSION, REAL, SCORED, REAL_TITLE),
    "real-dev": Packaged(REAL_VERSION, REAL, DEV, REAL_TITLE),
}
SETS = {name: known.data for name, known in EMBEDDED.items() if known.is_scored}  # each is a config of the data set
