"""Pictures of a site: small copies of the images that may be passed on, each with its credit.

`benchmark.publish.publish.may_be_passed_on` decides, by the columns `subset` and `source` of the data's tables; a page
that stays on its machine may show all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from benchmark.images.decode import BrokenImage
from benchmark.publish.publish import may_be_passed_on

if TYPE_CHECKING:
    from benchmark.data.dataset import LabelledImages

SIDE = 96  # pixels of a picture's longer side; smaller ones stay as they are
FOLDER = "images"
COLUMNS = ["subset", "source", "licence", "attribution"]


@dataclass(frozen=True)
class _Place:
    images: LabelledImages
    row: int
    credit: str
    is_shown: bool


@dataclass
class Pictures:
    """The pictures of a site by the SHA-256 of their images; one is written when a page asks for it first.

    folder: the site's.
    places: where each image is found.
    names: paths below the site of those that were asked for; None where there is no picture to show.
    withheld: number of images that a page asked for and that may not be passed on.
    """

    folder: Path
    places: dict[str, _Place]
    names: dict[str, str | None] = field(default_factory=dict)
    withheld: int = 0

    @classmethod
    def of(cls, folder: Path, splits: Iterable[LabelledImages], show_all: bool = False) -> Pictures:
        """Pictures of these images: of those that may be passed on or, with `show_all`, of every one."""
        places: dict[str, _Place] = {}
        for images in splits:
            table = images.table.reindex(columns=COLUMNS).astype(object)
            texts = {name: [_text(cell) for cell in table[name]] for name in COLUMNS}
            columns = {name: pa.array(cells, pa.string()) for name, cells in texts.items()}
            passed_on = may_be_passed_on(pa.table(columns))
            for row, sha256 in enumerate(images.table["sha256"]):
                credit = ", ".join(text for text in (texts["attribution"][row], texts["licence"][row]) if text)
                places.setdefault(sha256, _Place(images, row, credit, show_all or bool(passed_on[row])))
        return cls(folder, places)

    def ask(self, sha256: str) -> str | None:
        """The path of a picture below the site; None if there is none to show."""
        if sha256 not in self.names:
            self.names[sha256] = self._write(sha256)
        return self.names[sha256]

    def credit(self, sha256: str) -> str:
        """Whom to credit for an image and its licence, as its data set says; empty where it does not."""
        place = self.places.get(sha256)
        return place.credit if place else ""

    def _write(self, sha256: str) -> str | None:
        from PIL import Image

        place = self.places.get(sha256)
        if place is None or not place.is_shown:
            self.withheld += place is not None
            return None
        name = f"{FOLDER}/{sha256[:20]}.webp"
        with contextlib.suppress(BrokenImage):
            picture = place.images.source.open(place.row)
            picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            (self.folder / FOLDER).mkdir(exist_ok=True)
            picture.save(self.folder / name, "WEBP", quality=80)
            return name
        return None


def spread(rows: Sequence[int], most: int) -> list[int]:
    """At most `most` of these, evenly spread over all of them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(number * (len(rows) - 1) / (most - 1))] for number in range(most)]


def _text(cell: object) -> str:
    return "" if cell is None or pd.isna(cell) else str(cell)
