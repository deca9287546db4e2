"""The speed of the prediction engine on photographs, checked against a plain timm loop."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from benchmark.core.devices import device_name, load_average, pick
from benchmark.core.errors import unknown
from benchmark.core.timing import Timing, interleaved

if TYPE_CHECKING:
    from benchmark.models.load import BaseModel

PHOTO_SIZE, QUALITY = (2000, 1500), 90
MARGIN, TOLERANCE = 1e-4, 1e-4  # labels may differ where the margin is smaller; probabilities by so much
BATCH, WORKERS = 16, 2  # small enough that both workers of the plain loop have batches to make
PAIRS_OF_MODELS = {"mini": ("mini", "mini-strong"), "vitb16": ("vitb16", "clip-vitb16")}


@dataclass(frozen=True)
class PredictSpeed:
    """`images` JPEGs of `size` through the two `models`. `apart`: the largest difference of a probability.

    `draft`: ours with `--draft`; `changed`: labels that this changes, of 2 x `images`.
    """

    device: str
    load: float
    models: tuple[str, str]
    images: int
    size: tuple[int, int]
    ours: Timing
    plain: Timing
    draft: Timing
    apart: float
    changed: int

    @property
    def ratio(self) -> float:
        """Factor by which ours is faster: the plain loop's median time over ours."""
        return self.plain.median / self.ours.median


def write_photos(folder: Path, count: int, size: tuple[int, int] = PHOTO_SIZE) -> None:
    """JPEGs of coloured blobs with fine noise, about as large as photographs of that size are."""
    from PIL import Image

    for number in range(count):
        random = np.random.default_rng(number)
        blobs = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        noise = random.integers(-12, 13, (size[1], size[0], 1), dtype=np.int16)
        pixels = np.clip(np.asarray(blobs, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.jpg", quality=QUALITY)


@torch.inference_mode()
def predict_plainly(models: tuple[BaseModel, BaseModel], folder: Path, batch_size: int) -> list[torch.Tensor]:
    """Softmax probabilities (images, classes) of each model: a plain timm loop."""
    from timm.data import ImageDataset
    from torch.utils.data import DataLoader

    probabilities = []
    for model in models:
        data = ImageDataset(str(folder), transform=model.preprocessing)
        batches = DataLoader(data, batch_size=batch_size, num_workers=WORKERS)
        probabilities.append(
            torch.cat([model.module(images.to(model.device)).softmax(-1).cpu() for images, _ in batches])
        )
    return probabilities


def measure_prediction(base: str, images: int, repeats: int, device: str = "cpu") -> PredictSpeed:
    """Predict JPEG files by engine and by plain loop, check that they agree, and time them in turn, in float32.

    `base` and its stronger rival are those of `PAIRS_OF_MODELS`. Raises `UserError` for another base, and
    `AssertionError` if a label differs where it is not near another, or a probability by more than `TOLERANCE`.
    """
    from benchmark.images.open import open_images
    from benchmark.models.load import load_base, random_base
    from benchmark.models.names import EMBEDDED
    from benchmark.predict.engine import predict
    from mad.mining.models import DRAFT

    if base not in PAIRS_OF_MODELS:
        raise unknown("base", base, PAIRS_OF_MODELS)
    pair = PAIRS_OF_MODELS[base]
    weak, strong = ((load_base if name in EMBEDDED else random_base)(name, device=device) for name in pair)
    models = (weak, strong)
    draft = DRAFT * max(max(model.preprocessing.resize_shape) for model in models)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder, images)

        def predict_ours(draft: int | None = None) -> pd.DataFrame:
            return predict(models, open_images(folder), batch_size=BATCH, progress=False, draft=draft)

        predictions, drafted, plain = predict_ours(), predict_ours(draft), predict_plainly(models, folder, BATCH)
        apart, changed = 0.0, 0
        for model, probabilities in zip(models, plain, strict=True):
            label = predictions[f"{model.name}_label"].to_numpy()
            probability = predictions[f"{model.name}_probability"].to_numpy()
            top, classes = (values.numpy() for values in probabilities.topk(2))
            sure = top[:, 0] - top[:, 1] > MARGIN
            assert (label == classes[:, 0])[sure].all(), f"{model.name} predicts otherwise in the plain loop"
            apart = max(apart, float(np.abs(probability - top[:, 0]).max()))
            changed += int((drafted[f"{model.name}_label"] != label).sum())
        assert apart <= TOLERANCE, f"probabilities differ by {apart:.2g}"
        variants = {
            "ours": predict_ours,
            "plain": lambda: predict_plainly(models, folder, BATCH),
            "draft": lambda: predict_ours(draft),
        }
        timing = interleaved(variants, repeats, pick(device))
    return PredictSpeed(
        device_name(pick(device)), load_average(), pair, images, PHOTO_SIZE,
        timing["ours"], timing["plain"], timing["draft"], apart, changed,
    )  # fmt: skip
