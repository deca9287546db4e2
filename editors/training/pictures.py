"""Where a training command's images come from: a folder of images per class, the Hub, or the embedded training pool.

No label is used: trained editors learn from the base's own predictions.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmark.core.errors import UserError, first_line
from benchmark.data.dataset import EMBEDDED, Samples, training_images
from benchmark.images.decode import SUFFIXES, BrokenImage, decode

if TYPE_CHECKING:
    from PIL import Image


class Pictures(Protocol):
    """Numbered RGB images; `fingerprint` is a hex SHA-256 that tells one collection from another."""

    fingerprint: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image: ...


class Folder:
    """A folder of images per class, at any depth below; its fingerprint covers paths and file sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        classes = {p.relative_to(folder).parts[0] for p in self.files if p.parent != folder}
        if len(classes) < 2:
            raise UserError(
                f"{folder} holds images of {len(classes)} classes; training needs unrelated images, "
                "so give a folder with one folder of images a class (folder/class/image.jpg)"
            )
        facts = "".join(f"{p.relative_to(folder).as_posix()} {p.stat().st_size}\n" for p in self.files)
        self.fingerprint = hashlib.sha256(facts.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Image.Image:
        try:
            return decode(self.files[index])
        except BrokenImage as error:
            raise UserError(f"{self.files[index]} is broken ({error}); remove it or fetch it again") from error


class Encoded:
    """Images of a benchmark's training split."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.fingerprint = hashlib.sha256("".join(samples.table["sha256"]).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Image.Image:
        try:
            return decode(self.samples.encoded[index].as_py())
        except BrokenImage as error:
            digest = self.samples.table["sha256"].iloc[index][:12]
            raise UserError(f"training image {digest} is broken ({error}); fetch or build the data again") from error


class HubImages:
    """The ``train`` split of a data set on the Hub, column ``image``."""

    def __init__(self, name: str) -> None:
        import datasets

        try:
            table: Any = datasets.load_dataset(name, split="train")
            self.images = table.select_columns("image").cast_column("image", datasets.Image(decode=False))
        except Exception as error:  # network, name, access and format errors have no common class
            raise UserError(
                f"{name} is no folder here, and the Hub gives no train split with images by that name "
                f"({type(error).__name__}: {first_line(error)}); "
                "give a folder of images per class (folder/class/image.jpg)"
            ) from error
        self.fingerprint = hashlib.sha256(f"{name} {len(table)} {table._fingerprint}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Image.Image:
        item = self.images[index]["image"]
        try:
            return decode(item["bytes"] if item["bytes"] is not None else Path(item["path"]))
        except BrokenImage as error:
            raise UserError(f"image {index} of the data set is broken ({error}); fetch it again") from error


def open_pictures(data: str) -> Pictures:
    """``mini`` (embedded), a folder in the Hub's layout, a folder of images per class, or a data set on the Hub.

    Raises `UserError` if there are none, or fewer than two.
    """
    pictures: Pictures
    if data in EMBEDDED or (Path(data) / "data").is_dir():
        pictures = Encoded(training_images(data))
    elif Path(data).is_dir():
        pictures = Folder(Path(data))
    else:
        pictures = HubImages(data)
    if len(pictures) < 2:
        raise UserError(f"{data} holds {len(pictures)} images; training needs two at least")
    return pictures
