"""Editing samples to train on: a training image, another view of it, and the rank of the target class.

Paper, B.2: KE and MEND are meta-trained on images of ImageNet-1k "to alter the base model's predictions to match
the top-k randomly selected classes". Neither k nor the draw is given there; here the target class is drawn evenly
from the base's k likeliest classes, except the one it predicts. No label is used.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.images.decode import Preprocessing
from benchmark.images.source import ImageSource
from editors.methods.ke.recipe import KERecipe
from editors.training.views import epoch_order, generator, integer, view

HELD_OUT = 64  # pictures that no run trains on: the training curves are theirs


@dataclass(frozen=True)
class EditingSamples:
    """m editing samples: x and another view x' of the same picture, each (m, 3, H, W), on the CPU, and `ranks` (m,).

    The target class is the base's class of that rank on x, counted from 0, its prediction. The m pictures differ.
    """

    images: Tensor
    views: Tensor
    ranks: Tensor


class Draws:
    """Batches of editing samples by number, each drawn from the run's seed and its own number alone.

    `HELD_OUT` of the pictures, but no more than half, are set aside, chosen by the seed. Raises `UserError` if the
    others do not make a batch, and if those set aside are too few to be judged on each other.
    """

    def __init__(self, pictures: ImageSource, preprocessing: Preprocessing, recipe: KERecipe, seed: int) -> None:
        self.pictures, self.preprocessing, self.recipe, self.seed = pictures, preprocessing, recipe, seed
        order = torch.randperm(len(pictures), generator=generator(seed, "held-out"))
        kept = min(HELD_OUT, len(pictures) // 2)
        self._aside, self._trained_on = order[:kept], order[kept:]
        if recipe.batch > len(self._trained_on):
            raise UserError(f"--batch {recipe.batch} is more than the {len(order) - kept} pictures left to train on")
        if recipe.others >= kept:
            raise UserError(f"--others {recipe.others} is too many for the {kept} pictures that are held out")
        Image.init()  # Pillow loads its decoders at first use, which two threads must not do at once
        self._readers = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def batch(self, iteration: int) -> EditingSamples:
        """The samples of an iteration; each epoch deals the pictures out anew, and leaves the last few over."""
        size, count = self.recipe.batch, len(self._trained_on)
        epoch, place = divmod(iteration, count // size)
        rows = self._trained_on[epoch_order(count, self.seed, epoch)[place * size : (place + 1) * size]]
        return self._samples("editing-sample", range(iteration * size, (iteration + 1) * size), rows)

    def held_out(self) -> EditingSamples:
        """The samples that no run trains on, one for each picture set aside."""
        return self._samples("held-out-sample", range(len(self._aside)), self._aside)

    def _samples(self, kind: str, numbers: Sequence[int], rows: Tensor) -> EditingSamples:
        jobs = zip([kind] * len(rows), numbers, rows.tolist(), strict=True)
        images, views, ranks = zip(*self._readers.map(lambda job: self._draw(*job), jobs), strict=True)
        return EditingSamples(torch.stack(images), torch.stack(views), torch.tensor(ranks))

    def _draw(self, kind: str, number: int, row: int) -> tuple[Tensor, Tensor, int]:
        random = generator(self.seed, kind, number)
        picture = self.pictures.require(row)
        image, other = (view(picture, self.preprocessing, self.recipe.crop_scale, random) for _ in range(2))
        return image, other, integer(1, self.recipe.top_k - 1, random)
