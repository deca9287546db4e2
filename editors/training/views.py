"""Random views of training images, each drawn from a source of randomness of its own."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import torch
from PIL import Image
from torch import Tensor

from benchmark.images.decode import Preprocessing


def generator(*words: object) -> torch.Generator:
    """A source of randomness of its own, on the CPU, for whatever `words` name."""
    digest = hashlib.sha256(" ".join(map(str, words)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@lru_cache(maxsize=4)
def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch deals `count` images out, (count,)."""
    return torch.randperm(count, generator=generator(seed, "epoch", epoch))


def integer(low: int, high: int, random: torch.Generator) -> int:
    """A whole number, low and high included."""
    return int(torch.randint(low, high + 1, (), generator=random))


def crop_box(height: int, width: int, least: float, random: torch.Generator) -> tuple[int, int, int, int]:
    """Top, left, height, width of a random crop, as torchvision's RandomResizedCrop draws it.

    An area share of `least` to 1, a ratio of sides of 3/4 to 4/3; after ten misses the largest central crop
    with such a ratio. (torchvision itself draws from the global generator, which threads would share.)
    """
    for _ in range(10):
        share, log_ratio = torch.rand(2, generator=random).tolist()
        area = height * width * (least + share * (1 - least))
        ratio = math.exp((2 * log_ratio - 1) * math.log(4 / 3))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return integer(0, height - h, random), integer(0, width - w, random), h, w
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def view(image: Image.Image, preprocessing: Preprocessing, least: float, random: torch.Generator) -> Tensor:
    """A random crop of an area share of `least` to 1, resized and normalised by `preprocessing`, (3, height, width)."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as transforms

    box = crop_box(image.height, image.width, least, random)
    size, mode = list(preprocessing.shape), InterpolationMode(preprocessing.interpolation)
    pixels = transforms.to_tensor(transforms.resized_crop(image, *box, size, mode))
    normalised: Tensor = transforms.normalize(pixels, list(preprocessing.mean), list(preprocessing.std))
    return normalised
