"""The images of a training command. No label is used: trained editors learn from the base's own predictions."""

from __future__ import annotations

from benchmark.core.errors import UserError
from benchmark.images.folder import ImageFolder
from benchmark.images.open import open_images
from benchmark.images.source import ImageSource


def open_training_images(data: str) -> ImageSource:
    """The ``train`` split of ``mini`` (embedded), of a folder in the Hub's layout or of a data set on the Hub, or all
    images of a folder of images per class.

    Raises `UserError` if there are none, or fewer than two, or a folder holds none of two classes.
    """
    images = open_images(data, split="train")
    if isinstance(images, ImageFolder):
        classes = {path.partition("/")[0] for path in images.paths if "/" in path}
        if len(classes) < 2:
            raise UserError(
                f"{data} holds images of {len(classes)} classes; training needs unrelated images, "
                "so give a folder with one folder of images a class (folder/class/image.jpg)"
            )
    if len(images) < 2:
        raise UserError(f"{data} holds {len(images)} images; training needs two at least")
    return images
