"""Editing samples to train on: an image, a class to be wanted of it, another view of it, and unrelated images.

No label is used: "editing samples sourced from ImageNet-1k to alter the base model's predictions to match the top-k
randomly selected classes" (paper, B.2). Each sample is drawn from its own number and the run's seed, so that batch
sizes and resumes change nothing.
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
from benchmark.models.load import BaseModel
from benchmark.models.vit import ffn_cut, forward_prefix, forward_tail, last_ffn_matrices
from editors.methods.mend.recipe import Recipe
from editors.training.pictures import Pictures
from editors.training.views import epoch_order, generator, integer, view


@dataclass(frozen=True)
class Episodes:
    """m editing samples, with tokens at the cut before the edited FFNs.

    edited: of the images that are edited, in the base's own view, (m, 1, T, N). wanted: their classes, (m, 1).
    judged: of what the edit is judged on, the other view and then the unrelated images, (m, 1 + locality, T, N).
    before: logits of the base for the unrelated images, (m, locality, classes).
    """

    edited: Tensor
    wanted: Tensor
    judged: Tensor
    before: Tensor

    def __len__(self) -> int:
        return len(self.edited)

    def rows(self, some: slice) -> Episodes:
        """Some of them."""
        return Episodes(self.edited[some], self.wanted[some], self.judged[some], self.before[some])


class EditingSamples:
    """An endless numbered row of editing samples for one base and recipe.

    Raises `UserError` for fewer images than one sample needs.
    """

    def __init__(self, base: BaseModel, pictures: Pictures, recipe: Recipe, seed: int) -> None:
        if len(pictures) < 1 + recipe.locality:
            raise UserError(f"{len(pictures)} images are less than one sample of 1 + --locality {recipe.locality}")
        self.base, self.pictures, self.recipe, self.seed = base, pictures, recipe, seed
        self.cut = ffn_cut(base.module, last_ffn_matrices(base.module))
        Image.init()  # Pillow loads its decoders at first use, which two threads must not do at once
        self._readers = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    @torch.no_grad()
    def batch(self, numbers: Sequence[int]) -> Episodes:
        """The samples of these numbers, where the base lies."""
        model, like = self.base.module, next(self.base.module.parameters())
        images = torch.stack(list(self._readers.map(self._images, numbers))).to(like)
        tokens = forward_prefix(model, images.flatten(0, 1), self.cut).unflatten(0, images.shape[:2])
        logits = forward_tail(model, tokens[:, [0, *range(2, tokens.shape[1])]], self.cut, {})
        wanted = [self.wanted(row, number) for row, number in zip(logits[:, 0].cpu(), numbers, strict=True)]
        return Episodes(tokens[:, :1], torch.tensor(wanted, device=like.device)[:, None], tokens[:, 1:], logits[:, 1:])

    def wanted(self, logits: Tensor, number: int) -> int:
        """The class wanted of a sample, given the base's logits (classes,): one of its top k, and not the first."""
        among = logits.topk(min(self.recipe.top_k, len(logits))).indices
        return int(among[integer(1, len(among) - 1, generator(self.seed, "wanted class", number))])

    def _images(self, number: int) -> Tensor:
        """The image as it is, its other view, and views of the unrelated images, (2 + locality, 3, H, W)."""
        each, preprocessing = 1 + self.recipe.locality, self.base.preprocessing
        epoch, place = divmod(number, len(self.pictures) // each)
        own, *unrelated = epoch_order(len(self.pictures), self.seed, epoch)[each * place : each * (place + 1)].tolist()
        random, least = generator(self.seed, "views", number), self.recipe.crop_scale
        others = (view(self.pictures[index], preprocessing, least, random) for index in (own, *unrelated))
        return torch.stack([preprocessing(self.pictures[own]), *others])
