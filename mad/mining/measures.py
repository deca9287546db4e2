"""The figures of `mad.bench`: how each is measured, and what it is checked against."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch

from benchmark.core.devices import device_name, pick
from benchmark.core.errors import UserError
from benchmark.core.timing import Timing, interleaved

if TYPE_CHECKING:
    from PIL import Image

    from benchmark.models.load import BaseModel
    from mad.mining.competition import Rules

PHOTO_SIZE, QUALITY = (2000, 1500), 90
CHECKED = 20_000  # predictions that the plain loop ranks
MARGIN, TOLERANCE = 1e-4, 1e-4  # labels may differ where the margin is smaller; probabilities by so much
BATCH, WORKERS = 16, 2  # small enough that both workers of the plain loop have batches to make
PAIRS_OF_MODELS = {"mini": ("mini", "mini-strong"), "vitb16": ("vitb16", "clip-vitb16")}
GIB = 2**30


@dataclass(frozen=True)
class CompetitionSpeed:
    """`pairs` predictions in `seconds`; `groups` of them; `peak_gib` of the whole process, the predictions included."""

    device: str
    load: float
    pairs: int
    disagreements: int
    groups: int
    diverse: int
    seconds: float
    peak_gib: float


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
        """How many times faster our way is, of the medians."""
        return self.plain.median / self.ours.median


@dataclass(frozen=True)
class MemoryUse:
    """Resident memory in GiB: at the start, with the models loaded, and the peak when `images` images were mined."""

    device: str
    load: float
    images: int
    seconds: float
    start_gib: float
    peak_gib: float


def memory_gib(field: Literal["VmRSS", "VmHWM"]) -> float:
    """Resident memory of this process in GiB: now (`VmRSS`), or the highest since it started (`VmHWM`; man 5 proc)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / GIB
    raise UserError("this system does not tell a process's memory in /proc; the figures need Linux")


# ------------------------------------------------------------------------------------------ competition


def random_predictions(count: int, seed: int = 0) -> pd.DataFrame:
    """Predictions of two models at random, as `mad.mining.competition` takes them."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {"image": pd.Series(np.arange(count)).astype(str) + ".jpg"}
    for who in ("base", "strong"):
        columns[f"{who}_index"] = random.integers(0, 1000, count)
        columns[f"{who}_probability"] = random.random(count, dtype=np.float32)
    return pd.DataFrame(columns)


def plain_order(predictions: pd.DataFrame, rules: Rules) -> list[str]:
    """The images of `mad.mining.competition.rank`, by a loop over rows and a sort."""
    from mad.mining import wordnet

    distances = wordnet.distances(rules.distance, rules.over)
    kept = []
    for position, row in enumerate(predictions.itertuples(index=False)):
        certainty = min(row.base_probability, row.strong_probability)
        if row.base_index != row.strong_index and certainty >= rules.min_probability:
            kept.append((-distances[row.strong_index, row.base_index], -certainty, position, row.image))
    return [image for *_, image in sorted(kept)]


def competition(pairs: int) -> CompetitionSpeed:
    """Rank, filter and group `pairs` predictions. Raises `AssertionError` if the plain loop ranks otherwise."""
    from mad.mining import wordnet
    from mad.mining.competition import Rules, compete, diverse

    rules = Rules(min_probability=0.1)
    wordnet.distances(rules.distance, rules.over)  # 4 s of start-up, whatever the pool
    few = random_predictions(CHECKED, seed=1)
    assert compete(few, rules).ranking["image"].tolist() == plain_order(few, rules), "the plain loop ranks otherwise"
    predictions = random_predictions(pairs)
    start = time.perf_counter()
    found = compete(predictions, rules)
    head = diverse(found.ranking)
    seconds = time.perf_counter() - start
    return CompetitionSpeed(
        device_name(torch.device("cpu")), os.getloadavg()[0], pairs, found.disagreements,
        len(found.groups), len(head), seconds, memory_gib("VmHWM"),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------ prediction


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
def plain_predict(models: tuple[BaseModel, BaseModel], folder: Path, batch_size: int) -> list[torch.Tensor]:
    """Softmax probabilities (images, classes) of each model: a plain timm loop."""
    from timm.data import ImageDataset
    from torch.utils.data import DataLoader

    told = []
    for model in models:
        data = ImageDataset(str(folder), transform=model.preprocessing)
        batches = DataLoader(data, batch_size=batch_size, num_workers=WORKERS)
        told.append(torch.cat([model.module(images.to(model.device)).softmax(-1).cpu() for images, _ in batches]))
    return told


def prediction(pair: str, images: int, repeats: int, device: str = "cpu") -> PredictSpeed:
    """Predict JPEG files in both ways, check that they agree, and time them in turn, in float32.

    Raises `AssertionError` if a label differs where it is not near another, or a probability by more than `TOLERANCE`.
    """
    from benchmark.images.sources import FolderPool
    from benchmark.models.load import EMBEDDED, load_base, random_base
    from benchmark.predict.engine import predict
    from mad.mining.models import DRAFT

    one, other = (
        (load_base if name in EMBEDDED else random_base)(name, device=device) for name in PAIRS_OF_MODELS[pair]
    )
    models = (one, other)
    draft = DRAFT * max(model.preprocessing.resize for model in models)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder, images)

        def ours(draft: int | None = None) -> pd.DataFrame:
            return predict(models, FolderPool(folder), batch_size=BATCH, progress=False, draft=draft)

        told, drafted, plain = ours(), ours(draft), plain_predict(models, folder, BATCH)
        apart, changed = 0.0, 0
        for model, probabilities in zip(models, plain, strict=True):
            label, probability = told[f"{model.name}_label"].to_numpy(), told[f"{model.name}_probability"].to_numpy()
            top, classes = (values.numpy() for values in probabilities.topk(2))
            sure = top[:, 0] - top[:, 1] > MARGIN
            assert (label == classes[:, 0])[sure].all(), f"{model.name} says something else"
            apart = max(apart, float(np.abs(probability - top[:, 0]).max()))
            changed += int((drafted[f"{model.name}_label"] != label).sum())
        assert apart <= TOLERANCE, f"probabilities differ by {apart:.2g}"
        ways = {"ours": ours, "plain": lambda: plain_predict(models, folder, BATCH), "draft": lambda: ours(draft)}
        timing = interleaved(ways, repeats, pick(device))
    return PredictSpeed(
        device_name(pick(device)), os.getloadavg()[0], PAIRS_OF_MODELS[pair], images, PHOTO_SIZE,
        timing["ours"], timing["plain"], timing["draft"], apart, changed,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------ memory


@dataclass(frozen=True)
class TinyPool:
    """`count` images of 32 x 32 pixels, all decoded from the same bytes."""

    count: int
    encoded: bytes

    @cached_property
    def ids(self) -> Sequence[str]:
        return [f"images/{number:09d}.png" for number in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def open(self, position: int) -> Image.Image:
        from benchmark.images.decode import decode

        return decode(self.encoded)


def tiny_models() -> list[BaseModel]:
    """Two random ViTs of one block on 32-px images: what is measured is what is kept of images, not the models."""
    from timm.models.vision_transformer import VisionTransformer

    from benchmark.images.decode import Preprocessing
    from benchmark.models.load import BaseModel, hash_weights

    preprocessing = Preprocessing(32, 32, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    models = []
    for name in ("base", "strong"):
        vit = VisionTransformer(img_size=32, patch_size=16, embed_dim=24, depth=1, num_heads=3)
        vit = vit.eval().requires_grad_(False)
        models.append(BaseModel(name, vit, preprocessing, hash_weights(vit)))
    return models


def memory(images: int) -> MemoryUse:
    """Predict `images` tiny images with two tiny models, keeping the parts on disk, then rank and group them."""
    from PIL import Image

    from benchmark.predict.engine import predict
    from mad.mining.competition import Rules, compete

    encoded = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(encoded, "PNG")
    models = tiny_models()
    predict(models, TinyPool(64, encoded.getvalue()), progress=False)
    before, start = memory_gib("VmRSS"), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        pool = TinyPool(images, encoded.getvalue())
        told = predict(models, pool, cache=Path(name))
    names = {f"{who}_label": f"{who}_index" for who in ("base", "strong")}
    found = compete(told.drop(columns="error").rename(columns=names), Rules())
    assert found.images == images
    peak = max(before, memory_gib("VmHWM"))  # the kernel adds up late: its mark may lie some kB below what was read
    return MemoryUse(
        device_name(torch.device("cpu")), os.getloadavg()[0], images, time.perf_counter() - start, before, peak
    )
