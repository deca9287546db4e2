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

HELD_OUT = 64  # images that no run trains on: the training curves are theirs


@dataclass(frozen=True)
class EditingSamples:
    """m editing samples: x and another view x' of the same image, each (m, 3, H, W), on the CPU, and `ranks` (m,).

    The target class is the base's class of that rank on x, counted from 0, its prediction. The m images differ.
    """

    images: Tensor
    views: Tensor
    ranks: Tensor


class Draws:
    """Batches of editing samples by number, each drawn from the run's seed and its own number alone.

    `HELD_OUT` of the images, but no more than half, are set aside, chosen by the seed. Raises `UserError` if the
    others do not make a batch, and if those set aside are too few to measure locality on each other.
    """

    def __init__(self, source: ImageSource, preprocessing: Preprocessing, recipe: KERecipe, seed: int) -> None:
        self.source, self.preprocessing, self.recipe, self.seed = source, preprocessing, recipe, seed
        order = torch.randperm(len(source), generator=generator(seed, "held-out"))
        n_aside = min(HELD_OUT, len(source) // 2)
        self._aside, self._trained_on = order[:n_aside], order[n_aside:]
        if recipe.batch_size > len(self._trained_on):
            raise UserError(
                f"--batch-size {recipe.batch_size} is more than the {len(order) - n_aside} images left to train on"
            )
        if recipe.others >= n_aside:
            raise UserError(f"--others {recipe.others} is too many for the {n_aside} images that are held out")
        Image.init()  # Pillow loads its decoders at first use, which two threads must not do at once
        self._readers = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def batch(self, iteration: int) -> EditingSamples:
        """The samples of an iteration; each epoch deals the images out anew, and leaves the last few over."""
        size, count = self.recipe.batch_size, len(self._trained_on)
        epoch, place = divmod(iteration, count // size)
        rows = self._trained_on[epoch_order(count, self.seed, epoch)[place * size : (place + 1) * size]]
        return self._samples("editing-sample", range(iteration * size, (iteration + 1) * size), rows)

    def held_out(self) -> EditingSamples:
        """The samples that no run trains on, one for each image set aside."""
        return self._samples("held-out-sample", range(len(self._aside)), self._aside)

    def _samples(self, stream: str, numbers: Sequence[int], rows: Tensor) -> EditingSamples:
        jobs = zip([stream] * len(rows), numbers, rows.tolist(), strict=True)
        images, views, ranks = zip(*self._readers.map(lambda job: self._draw(*job), jobs), strict=True)
        return EditingSamples(torch.stack(images), torch.stack(views), torch.tensor(ranks))

    def _draw(self, stream: str, number: int, row: int) -> tuple[Tensor, Tensor, int]:
        random = generator(self.seed, stream, number)
        image, preprocessing = self.source.require(row), self.preprocessing
        own, other = (view(image, preprocessing, self.recipe.crop_scale, random) for _ in range(2))
        return own, other, integer(1, self.recipe.top_k - 1, random)
