"""A folder of generated images: one subfolder a class, and a table that agrees with it after a kill at any moment.

    <class index>/<number>.png    e.g. 6/00012.png: what `python -m benchmark.build --oil-painting` takes
    metadata.jsonl                one line an image, by class and number: how it was made, and what was thrown away
                                  for it; `file` is null where no seed made a picture that shows something
    run.json                      what all images of the folder have in common

An image is first written under a hidden name, then listed, then given its name; whoever opens the folder next
finishes what a killed run had listed. So no image is visible that is not listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.files import replacing, sha256, write_text
from benchmark.core.readers import Unreadable, read_json, read_json_lines
from benchmark.core.workdir import Kind, claim, working
from benchmark.labels.imagenet import CLASSES, names, synsets
from generation.core.flaws import describe_thrown_away

if TYPE_CHECKING:
    from PIL import Image

FIX = "delete it and generate the images again"
TABLE = "metadata.jsonl"
IMAGES = Kind("set of generated images", "run.json", identity="settings")
Job = tuple[int, int]  # ImageNet index of the class, number of the image in it


class GeneratedImages:
    """Generated images on the disk. `rows` are those of the table, by class and number."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Open the folder, or make it.

        Args:
            path: the folder.
            settings: what could change an image, as plain values; all images of a folder have the same.

        Raises:
            UserError: if it holds something else, or images that were made with other settings.
        """
        self.path, self.settings = path, json.loads(json.dumps(settings))
        claim(path, IMAGES, {"settings": self.settings})
        self.rows = self._recover()

    @classmethod
    @contextmanager
    def held(cls, path: Path, settings: Mapping[str, Any]) -> Iterator[GeneratedImages]:
        """Open the folder, or make it, and let no other process work in it meanwhile; raises as `__init__` does."""
        with working(path, IMAGES, {"settings": settings}):
            yield cls(path, settings)

    @property
    def fitting_batch(self) -> int | None:
        """The batch size that an earlier run had to go down to, if one had."""
        return read_json(self.path / IMAGES.note, fix=IMAGES.fix).get("fitting_batch")

    def keep_fitting_batch(self, size: int) -> None:
        """Note it, so that a resumed run makes the same batches, and with them the same bytes."""
        claim(self.path, IMAGES, {"settings": self.settings, "fitting_batch": size})

    def list_missing(self, classes: Sequence[int], per_class: int) -> list[Job]:
        """Jobs that are not done yet for `per_class` images of each class, class by class."""
        jobs = [(index, number) for index in classes for number in range(per_class)]
        return [job for job in jobs if job not in self.rows]

    def add(self, images: Sequence[tuple[Job, Image.Image | None, Mapping[str, Any]]]) -> None:
        """Write images, each with its metadata beyond the class: all of them, or after a kill none.

        None stands for an image of which no seed shows anything; it is listed without a file, and not tried again.
        """
        for (index, number), image, metadata in images:
            hidden = self._hidden_path(index, number)
            if image is not None:
                with replacing(hidden) as temporary:
                    image.save(temporary, "PNG")
            self.rows[index, number] = {
                "file": None if image is None else f"{index}/{number:05d}.png",
                "class_index": index,
                "synset": synsets()[index],
                "class_name": names()[index],
                "number": number,
                **metadata,
                "sha256": None if image is None else sha256(hidden),
            }
        self._write_table()
        for job, image, _ in images:
            if image is None:
                self._visible_path(*job).unlink(missing_ok=True)
            else:
                self._show(job)

    def summarise(self, jobs: Iterable[Job]) -> str:
        """The number of `jobs` that are there, and of pictures that were thrown away for them, in words."""
        rows = [self.rows[job] for job in jobs if job in self.rows]
        return f"{sum(row['file'] is not None for row in rows):,} there, {describe_thrown_away(rows)}"

    def _recover(self) -> dict[Job, dict[str, Any]]:
        """The rows whose images are there as listed, after images that a killed run had listed got their names."""
        rows = {}
        for row in read_table(self.path) if (self.path / TABLE).is_file() else ():
            if not {"class_index", "number", "file", "sha256"} <= row.keys():  # an older table's: made again
                continue
            if not _is_row(row):
                raise Unreadable(self.path / TABLE, "lists what is no image of this folder", FIX)
            job = row["class_index"], row["number"]
            if row["file"] is None:
                self._visible_path(*job).unlink(missing_ok=True)
                rows[job] = row
                continue
            if not self._visible_path(*job).is_file() and self._hidden_path(*job).is_file():
                self._show(job)
            if self._visible_path(*job).is_file() and sha256(self._visible_path(*job)) == row["sha256"]:
                rows[job] = row
        return rows

    def _show(self, job: Job) -> None:
        self._hidden_path(*job).replace(self._visible_path(*job))

    def _write_table(self) -> None:
        self.rows = dict(sorted(self.rows.items()))
        write_table(self.path, list(self.rows.values()))

    def _visible_path(self, index: int, number: int) -> Path:
        return self.path / str(index) / f"{number:05d}.png"

    def _hidden_path(self, index: int, number: int) -> Path:
        return self.path / str(index) / f".{number:05d}.png"


def read_table(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder's table. Raises `UserError` if it cannot be read."""
    rows = read_json_lines(folder / TABLE, FIX)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("file", 0), (str, type(None))):
            raise Unreadable(f"{folder / TABLE}, line {number}", "names no file", FIX)
    return rows


def _is_row(row: Mapping[str, Any]) -> bool:
    """Return whether a row names its image as this folder does; a number of another type would be another path."""
    index, number, file = (row.get(name) for name in ("class_index", "number", "file"))
    if not (type(index) is int and type(number) is int and 0 <= index < CLASSES and number >= 0):
        return False
    return file is None or (file == f"{index}/{number:05d}.png" and isinstance(row.get("sha256"), str))


def write_table(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace a folder's table, atomically."""
    write_text(folder / TABLE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
