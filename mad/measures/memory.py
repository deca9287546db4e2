"""The memory that mining takes: of a process at a time, and how far it rises over a pool of tiny images."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark.core.devices import device_name, load_average, memory_bytes, peak_memory_bytes
from benchmark.core.errors import UserError
from benchmark.images.source import ImageSource

if TYPE_CHECKING:
    from benchmark.models.load import BaseModel

GIB = 2**30


@dataclass(frozen=True)
class MemoryUse:
    """Resident memory in GiB: at the start, with the models loaded, and the peak when `images` images were mined."""

    device: str
    load: float
    images: int
    seconds: float
    start_gib: float
    peak_gib: float


def in_gib(memory_bytes: int | None) -> float:
    """Measured memory in GiB. Raises `UserError` for None: the system does not tell it."""
    if memory_bytes is None:
        raise UserError("this system does not tell how much memory a process has; the figures need Linux")
    return memory_bytes / GIB


class TinyImages(ImageSource):
    """`count` images of 32 x 32 pixels, all of the same bytes."""

    def __init__(self, count: int, encoded: bytes) -> None:
        self._count, self._encoded = count, encoded

    @property
    def title(self) -> str:
        return "tiny images"

    @cached_property
    def ids(self) -> Sequence[str]:
        return [f"images/{number:09d}.png" for number in range(self._count)]

    @property
    def stamps(self) -> Sequence[str]:
        return self.ids

    def read(self, position: int) -> bytes:
        return self._encoded


def tiny_models() -> list[BaseModel]:
    """Two random ViTs of one block on 32-px images: what is measured is what is kept of images, not the models."""
    from timm.models.vision_transformer import VisionTransformer

    from benchmark.images.decode import Preprocessing
    from benchmark.models.identity import hash_weights
    from benchmark.models.load import BaseModel

    preprocessing = Preprocessing(32, 32, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    models = []
    for name in ("base", "strong"):
        vit = VisionTransformer(img_size=32, patch_size=16, embed_dim=24, depth=1, num_heads=3)
        vit = vit.eval().requires_grad_(False)
        models.append(BaseModel(name, vit, preprocessing, hash_weights(vit)))
    return models


def measure_memory(images: int) -> MemoryUse:
    """Predict `images` tiny images with two tiny models, keeping the parts on disk, then rank and group them."""
    from PIL import Image

    from benchmark.predict.engine import predict
    from mad.mining.competition import Rules, compete

    encoded = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(encoded, "PNG")
    models = tiny_models()
    predict(models, TinyImages(64, encoded.getvalue()), progress=False)
    before, start = in_gib(memory_bytes()), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        pool = TinyImages(images, encoded.getvalue())
        told = predict(models, pool, cache=Path(name))
    names = {f"{who}_label": f"{who}_index" for who in ("base", "strong")}
    found = compete(told.drop(columns="error").rename(columns=names), Rules())
    assert found.images == images
    # The kernel adds up late: its mark may lie some kB below what was read.
    peak = max(before, in_gib(peak_memory_bytes()))
    return MemoryUse(
        device_name(torch.device("cpu")), load_average(), images, time.perf_counter() - start, before, peak
    )
