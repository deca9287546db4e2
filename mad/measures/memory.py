"""Memory that mining takes: of a process at one time, and its rise over a pool of tiny images."""

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
    """Resident memory in GiB: at the start, with the models loaded, and the peak over mining `images` images."""

    device: str
    load: float
    images: int
    seconds: float
    start_gib: float
    peak_gib: float


def to_gib(memory_bytes: int | None) -> float:
    """Measured memory in GiB. Raises `UserError` for None: the system does not report it."""
    if memory_bytes is None:
        raise UserError("the system must report how much memory a process has; measure on Linux")
    return memory_bytes / GIB


class TinyImages(ImageSource):
    """`count` images of 32 x 32 pixels, all of the same bytes."""

    def __init__(self, count: int, image_bytes: bytes) -> None:
        self._count, self._image_bytes = count, image_bytes

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
        return self._image_bytes


def make_tiny_models() -> list[BaseModel]:
    """Two random ViTs of one block on 32-px images, so that memory goes to what is kept of images, not to models."""
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
    from mad.mining.competition import SearchConfig, compete

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
    models = make_tiny_models()
    predict(models, TinyImages(64, buffer.getvalue()), progress=False)
    before, start = to_gib(memory_bytes()), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        pool = TinyImages(images, buffer.getvalue())
        predictions = predict(models, pool, cache=Path(name))
    names = {f"{role}_label": f"{role}_index" for role in ("base", "strong")}
    result = compete(predictions.drop(columns="error").rename(columns=names), SearchConfig())
    assert result.images == images
    # The kernel adds up late: its mark may lie some kB below what was read.
    peak = max(before, to_gib(peak_memory_bytes()))
    return MemoryUse(
        device_name(torch.device("cpu")), load_average(), images, time.perf_counter() - start, before, peak
    )
