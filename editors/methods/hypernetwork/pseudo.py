"""Pseudo-samples: an image x' and an altered version x of it whose prediction the edit is to bring back.

Each one is drawn from its own number and the run's seed, so that batch sizes and resumes change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torch import Tensor

from benchmark.images.decode import Preprocessing
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from benchmark.models.vit import Model
from editors.methods.hypernetwork.recipe import HypernetworkRecipe
from editors.training.losses import divergence
from editors.training.views import epoch_order, generator, integer, view

SIDES = (3 / 14, 8 / 14)  # of the image: 48 and 128 of 224 pixels, 3 and 8 of 14 patches
PGD_STEPS, PGD_STEP, PGD_RADIUS = 10, 2 / 255, 8 / 255  # paper, C.4; for pixels of 0..1


class PseudoSamples:
    """An endless numbered row of pseudo-samples (x', x) for one base and recipe."""

    def __init__(self, base: BaseModel, source: ImageSource, recipe: HypernetworkRecipe, seed: int) -> None:
        self.base, self.source, self.recipe, self.seed = base, source, recipe, seed
        Image.init()  # Pillow loads its decoders at first use, which two threads must not do at once
        self._readers = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """x' and x of these numbers, each (n, 3, H, W), preprocessed, where the base lies."""
        drawn, like = list(self._readers.map(self._draw, numbers)), next(self.base.module.parameters())
        clean, altered = (torch.stack([pair[side] for pair in drawn]).to(like) for side in (0, 1))
        if self.recipe.pseudo == "pgd":
            altered = pgd(self.base.module, clean, altered, self.base.preprocessing)
        return clean, altered

    def _draw(self, number: int) -> tuple[Tensor, Tensor]:
        """x' and, of CutMix, x; of PGD, where in the ball it starts."""
        random = generator(self.seed, "pseudo-sample", number)
        epoch, place = divmod(number, len(self.source) // 2)
        own, partner = epoch_order(len(self.source), self.seed, epoch)[2 * place : 2 * place + 2].tolist()
        clean = self._image(own, random)
        if self.recipe.pseudo == "pgd":
            return clean, torch.rand(clean.shape, generator=random) * 2 - 1
        patch = int(self.base.module.patch_embed.patch_size[0])  # type: ignore[union-attr, index]
        top, left, height, width = cutmix_box(clean.shape[-1], patch if self.recipe.grid_patches else None, random)
        window = (slice(None), slice(top, top + height), slice(left, left + width))
        mixed = clean.clone()
        mixed[window] = self._image(partner, random)[window]
        return clean, mixed

    def _image(self, index: int, random: torch.Generator) -> Tensor:
        image, preprocessing = self.source.require(index), self.base.preprocessing
        if self.recipe.crop_scale is None:
            return preprocessing(image)
        return view(image, preprocessing, self.recipe.crop_scale, random)


def cutmix_box(size: int, patch: int | None, random: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height, width of the pasted patch in an image of `size` pixels a side (paper, B.1).

    Given the base's `patch` size: sides drawn independently, in whole patches, on the patch grid (released).
    Without: a square of any pixels (paper). Both from 3/14 to 8/14 of the image, one patch at least.

    Every place in the image is as likely. The released code draws the first row and column below the last possible one,
    so that its patch never covers the last row and column of the grid; this is not followed.
    """
    unit = patch or 1
    cells = size // unit
    low, high = (max(1, round(cells * side)) for side in SIDES)
    height = integer(low, high, random)
    width = integer(low, high, random) if patch else height
    top, left = integer(0, cells - height, random), integer(0, cells - width, random)
    return unit * top, unit * left, unit * height, unit * width


def pgd(model: Model, clean: Tensor, start: Tensor, preprocessing: Preprocessing) -> Tensor:
    """x by projected gradient ascent on KL(p(.|x') || p(.|x)) within an l_inf ball of pixels (paper, C.4).

    The divergence has no gradient at x' itself, so the ascent begins at `start` (-1..1 of the radius).
    """
    mean, std = (clean.new_tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    low = torch.maximum(clean - PGD_RADIUS / std, -mean / std)
    high = torch.minimum(clean + PGD_RADIUS / std, (1 - mean) / std)
    with torch.no_grad():
        target_logits = model(clean)
    altered = (clean + start * PGD_RADIUS / std).clamp(low, high)
    for _ in range(PGD_STEPS):
        altered.requires_grad_()
        with torch.enable_grad():
            away = divergence(model(altered), target_logits, temperature=1.0).sum()
        (gradient,) = torch.autograd.grad(away, altered)
        altered = (altered.detach() + PGD_STEP / std * gradient.sign()).clamp(low, high)
    return altered
