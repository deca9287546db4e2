"""Editing samples to train on: an image, the class it is to get, another view of it, and unrelated images.

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
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from benchmark.models.vit import ffn_cut, forward_prefix, forward_tail, last_ffn_matrices
from editors.methods.mend.recipe import MENDRecipe
from editors.training.views import epoch_order, generator, integer, view


@dataclass(frozen=True)
class MENDEpisodes:
    """m editing samples as the loss needs them; tokens are those at the cut before the edited FFNs."""

    edited: Tensor
    """Tokens of the images that are edited, in the base's own view, (m, 1, T, N)."""
    targets: Tensor
    """The classes that these are to get, (m, 1)."""
    eval_tokens: Tensor
    """Tokens of the other view and then of the unrelated images, (m, 1 + locality, T, N)."""
    target_logits: Tensor
    """Logits of the base for the unrelated images, which are to stay, (m, locality, classes)."""

    def __len__(self) -> int:
        return len(self.edited)

    def rows(self, rows: slice) -> MENDEpisodes:
        """The episodes of these rows."""
        return MENDEpisodes(self.edited[rows], self.targets[rows], self.eval_tokens[rows], self.target_logits[rows])


class EditingSamples:
    """An endless numbered row of editing samples for one base and recipe.

    Raises `UserError` for fewer images than one sample needs.
    """

    def __init__(self, base: BaseModel, source: ImageSource, recipe: MENDRecipe, seed: int) -> None:
        if len(source) < 1 + recipe.others:
            raise UserError(f"{len(source)} images are less than one sample of 1 + --others {recipe.others}")
        self.base, self.source, self.recipe, self.seed = base, source, recipe, seed
        self.cut = ffn_cut(base.module, last_ffn_matrices(base.module))
        Image.init()  # Pillow loads its decoders at first use, which two threads must not do at once
        self._readers = ThreadPoolExecutor(min(8, os.cpu_count() or 1))

    @torch.no_grad()
    def batch(self, numbers: Sequence[int]) -> MENDEpisodes:
        """The samples of these numbers, where the base lies."""
        model, like = self.base.module, next(self.base.module.parameters())
        images = torch.stack(list(self._readers.map(self._images, numbers))).to(like)
        tokens = forward_prefix(model, images.flatten(0, 1), self.cut).unflatten(0, images.shape[:2])
        logits = forward_tail(model, tokens[:, [0, *range(2, tokens.shape[1])]], self.cut, {})
        classes = [self.draw_target(row, number) for row, number in zip(logits[:, 0].cpu(), numbers, strict=True)]
        targets = torch.tensor(classes, device=like.device)[:, None]
        return MENDEpisodes(tokens[:, :1], targets, tokens[:, 1:], logits[:, 1:])

    def draw_target(self, logits: Tensor, number: int) -> int:
        """The class a sample is to get, given the base's logits (classes,): one of its top k, and not the first."""
        likeliest = logits.topk(min(self.recipe.top_k, len(logits))).indices
        return int(likeliest[integer(1, len(likeliest) - 1, generator(self.seed, "wanted class", number))])

    def _images(self, number: int) -> Tensor:
        """The image as it is, its other view, and views of the unrelated images, (2 + locality, 3, H, W)."""
        each, preprocessing = 1 + self.recipe.others, self.base.preprocessing
        epoch, place = divmod(number, len(self.source) // each)
        own, *unrelated = epoch_order(len(self.source), self.seed, epoch)[each * place : each * (place + 1)].tolist()
        random, least = generator(self.seed, "views", number), self.recipe.crop_scale
        others = (view(self.source.require(index), preprocessing, least, random) for index in (own, *unrelated))
        return torch.stack([preprocessing(self.source.require(own)), *others])
