"""Time to judge one edit, ours and plain, and a check that both predict the same.

Random weights, random images, one random edit of the six FFN matrices. *Ours* is the harness's `Judge`.
*Plain* works as the released code does: copy the model, load the edit, run the edited and the unedited
model in full over the group and D_l. Decoding is left out of both, and measured apart.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmark.core.devices import device_name, matmul_ceiling, pick, wait
from benchmark.core.timing import Comparison, interleaved
from benchmark.data.dataset import Benchmark, LabelledImages
from benchmark.images.decode import BrokenImage, Preprocessing, decode
from benchmark.images.source import ImageSource
from benchmark.models.checks import check_supported
from benchmark.models.load import BaseModel, noise_images, random_base
from benchmark.models.vit import Model, ffn_cut, ffn_matrices
from benchmark.predict.benchmark import SCORE_BATCH
from editors.core.edit import WeightEdit
from editors.core.flops import forward_flops, tail_flops
from leaderboard.judging.judge import Judge

GROUP, LOCALITY = 125, 2071  # images an edit is judged on in the full benchmark: a middling group, and D_l
GROUP_ID = "noise"
MARGIN = 1e-4  # predictions must agree wherever the two highest logits are further apart
CPU_FLOPS = {False: 1.2e12, True: 0.3e12}  # of one full pass over the images, by `quick`: some seconds


@dataclass(frozen=True)
class Preprocessed(Preprocessing):
    """A preprocessing that leaves alone what is preprocessed already, so that decoding takes no part."""

    def __call__(self, image: Any) -> Tensor:
        """The tensor (3, H, W) that `NoiseImages` opens, as it is; an image as ever."""
        return image if isinstance(image, Tensor) else super().__call__(image)


class NoiseImages(ImageSource):
    """Images whose pixels (n, 3, H, W) are there already: each opens as a tensor, for a `Preprocessed` base."""

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels.cpu()

    @property
    def title(self) -> str:
        return "noise"

    @cached_property
    def ids(self) -> Sequence[str]:
        return [f"noise {number}" for number in range(len(self._pixels))]

    @property
    def stamps(self) -> Sequence[str]:
        return self.ids

    def read(self, position: int) -> bytes:
        """There is no file of noise."""
        raise BrokenImage("not encoded")

    @contextlib.contextmanager
    def opening(self, position: int, draft: int | None = None) -> Iterator[Any]:
        """See `ImageSource.opening`."""
        yield self._pixels[position]

    def require(self, position: int, draft: int | None = None) -> Any:
        """See `ImageSource.require`."""
        return self._pixels[position]


@dataclass(frozen=True)
class ScoreSpeed:
    """Time to judge one edit of `base`, ours and plain, over `images` images.

    `once_seconds`: base predictions and prefixes of all `images`, paid once; `paid_back_after`: edits after
    which our way is the faster one in total; `group_ratio`: times faster over the edits of one whole group,
    with all of `once_seconds` charged to them. `near` predictions lie within `MARGIN` of another class and
    `flips` of them differ; `changed` differ from the unedited model's. `decoded`: images decoded a second.
    """

    base: str
    device: str
    images: int
    speed: Comparison
    once_seconds: float
    paid_back_after: int | None
    group_ratio: float
    near: int
    flips: int
    changed: int
    decoded: float


def plain_judge(model: Model, edit: WeightEdit, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, classes) of the edited and of the unedited model, both run in full: the plain reference."""
    edited = copy.deepcopy(model)
    edited.load_state_dict(edit.overrides, strict=False)
    with torch.no_grad():
        outputs = [(edited(batch), model(batch)) for batch in images.split(SCORE_BATCH)]
    return torch.cat([new for new, _ in outputs]), torch.cat([old for _, old in outputs])


def measure_scoring(base_name: str, device: str = "cpu", quick: bool = False, images: int | None = None) -> ScoreSpeed:
    """Judge one edit with both, check that they agree, and time them in turn, in float32.

    `images` is the number of images judged; by default that of the full benchmark, or on a CPU as many as
    take some seconds. Raises `AssertionError` if the predictions differ.
    """
    torch_device = pick(device)
    base = preprocessed(random_base(base_name, device=device))
    model: Model = base.module
    check_supported(model)
    if images is None:
        images = GROUP + LOCALITY
        if torch_device.type == "cpu":
            images = min(images, max(8, int(CPU_FLOPS[quick] / forward_flops(model))))
    group = max(1, images * GROUP // (GROUP + LOCALITY))
    pixels = noise_images(model, images)
    edit = random_edit(model)
    plain_judge(model, edit, pixels[:2])  # the first call pays for threads and kernels

    start = time.perf_counter()
    judge = Judge(base, noise_benchmark(pixels, group))
    ours = judge.predict(edit, GROUP_ID)
    wait(torch_device)
    first = time.perf_counter() - start
    near, flips, changed = agreement(np.concatenate(ours[:2]), *plain_judge(model, edit, pixels))

    timing = interleaved(
        {"ours": lambda: judge.predict(edit, GROUP_ID), "plain": lambda: plain_judge(model, edit, pixels)},
        3 if quick else 7, torch_device,
    )  # fmt: skip
    cut = ffn_cut(model, edit.overrides)
    speed = Comparison(
        "images", images, timing["ours"], timing["plain"],
        images * tail_flops(model, cut), 2 * images * forward_flops(model), matmul_ceiling(torch_device),
    )  # fmt: skip
    once, saved = first - speed.ours.median, speed.plain.median - speed.ours.median
    return ScoreSpeed(
        base_name, device_name(torch_device), images, speed, once,
        paid_back_after=math.ceil(once / saved) if saved > 0 else None,
        group_ratio=speed.plain.median / (speed.ours.median + once / GROUP),
        near=near, flips=flips, changed=changed, decoded=decoded_a_second(base.preprocessing),
    )  # fmt: skip


def random_edit(model: Model) -> WeightEdit:
    """The six FFN matrices, each changed by noise as large as itself."""
    weights = {name: model.get_parameter(name) for name in ffn_matrices(model)}
    return WeightEdit({name: weight + weight.std() * torch.randn_like(weight) for name, weight in weights.items()})


def noise_benchmark(pixels: Tensor, group: int) -> Benchmark:
    """The first `group` images as one group, the others as D_l; nothing is classified rightly."""
    table = pd.DataFrame({"label": -1, "group_id": GROUP_ID, "subset": GROUP_ID}, index=range(len(pixels)))
    samples = LabelledImages(table, NoiseImages(pixels))
    return Benchmark("noise", "1", samples.take(range(group)), samples.take(range(group, len(pixels))))


def preprocessed(base: BaseModel) -> BaseModel:
    """The same base for images that are preprocessed already."""
    return replace(base, preprocessing=Preprocessed(**vars(base.preprocessing)))


def agreement(ours: np.ndarray, edited: Tensor, unedited: Tensor) -> tuple[int, int, int]:
    """Of our predictions (n,) against plain logits (n, classes): how many are near, flipped, changed by the edit.

    Raises `AssertionError` if one differs whose two highest logits are more than `MARGIN` apart.
    """
    top = edited.topk(2).values
    near = (top[:, 0] - top[:, 1] <= MARGIN).cpu().numpy()
    plain = edited.argmax(-1).cpu().numpy()
    flipped = ours != plain
    wrong = int((flipped & ~near).sum())
    assert wrong == 0, f"{wrong} of {len(ours)} predictions differ though the margin exceeds {MARGIN:.0e}"
    return int(near.sum()), int(flipped.sum()), int((plain != unedited.argmax(-1).cpu().numpy()).sum())


def decoded_a_second(preprocessing: Preprocessing, seconds: float = 0.5) -> float:
    """Photograph-sized JPEGs (500 x 375) decoded and preprocessed a second, one after the other."""
    from PIL import Image

    coarse = np.random.default_rng(0).integers(0, 256, (38, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        preprocessing(decode(buffer.getvalue()))
        count += 1
    return count / passed
