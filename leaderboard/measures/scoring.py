"""Time to judge one edit, ours and plain, and a check that both predict the same.

Random weights, random images, one random edit of the six FFN matrices, whole or of some units. *Ours* is the harness's
`Judge`. *Plain* works as the released code does: copy the model, load the edit, run the edited and the unedited
model in full over the group and D_l. *Long* is the tail alone without its two shortcuts (`long_tail`), from the same
cached tokens. Decoding is left out of all, and measured apart.
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
from benchmark.core.timing import Comparison, Timing, interleaved
from benchmark.data.dataset import Benchmark, LabelledImages
from benchmark.images.decode import BrokenImage, Preprocessing, decode
from benchmark.images.source import ImageSource
from benchmark.models.checks import check_supported
from benchmark.models.load import BaseModel, noise_images, random_base
from benchmark.models.vit import (
    Cut,
    Model,
    depth,
    ffn_cut,
    ffn_difference,
    ffn_matrices,
    forward_prefix,
    forward_tail,
    hidden_width,
    unit_masks,
)
from benchmark.predict.benchmark import SCORE_BATCH
from editors.core.edit import WeightEdit
from editors.core.flops import forward_flops, tail_flops
from editors.core.masks import keep_top
from leaderboard.judging.at_once import MOST, time_at_once
from leaderboard.judging.judge import Judge

GROUP, LOCALITY = 125, 2071  # images an edit is judged on in the full benchmark: a middling group, and D_l
GROUP_ID = "noise"
SPARSITY = 0.95  # of a masked edit
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

    `sparsity`: of the edit; None of a dense one. `long`: time of the tail without its shortcuts. `once_seconds`: base
    predictions and prefixes of all `images`, paid once; `paid_back_after`: edits after which our way is the faster
    one in total; `group_ratio`: times faster over the edits of one whole group, with all of `once_seconds` charged to
    them. `near` predictions lie within `MARGIN` of another class and `flips` of them differ; `changed` differ from the
    unedited model's. `decoded`: images decoded a second. `at_once`: of several such edits on `at_once_images` images.
    """

    base: str
    device: str
    sparsity: float | None
    images: int
    speed: Comparison
    long: Timing
    once_seconds: float
    paid_back_after: int | None
    group_ratio: float
    near: int
    flips: int
    changed: int
    decoded: float
    at_once_images: int
    at_once: float


def plain_judge(model: Model, edit: WeightEdit, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, classes) of the edited and of the unedited model, both run in full: the plain reference."""
    edited = copy.deepcopy(model)
    edited.load_state_dict(edit.overrides, strict=False)
    with torch.no_grad():
        outputs = [(edited(batch), model(batch)) for batch in images.split(SCORE_BATCH)]
    return torch.cat([new for new, _ in outputs]), torch.cat([old for _, old in outputs])


def measure_scoring(
    base_name: str,
    device: str = "cpu",
    quick: bool = False,
    images: int | None = None,
    sparsity: float | None = None,
) -> ScoreSpeed:
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
    edit = random_edit(model, sparsity)
    plain_judge(model, edit, pixels[:2])  # the first call pays for threads and kernels

    start = time.perf_counter()
    judge = Judge(base, noise_benchmark(pixels, group))
    ours = judge.predict(edit, GROUP_ID)
    wait(torch_device)
    first = time.perf_counter() - start
    near, flips, changed = agreement(np.concatenate(ours[:2]), *plain_judge(model, edit, pixels))

    cut = ffn_cut(model, edit.overrides)
    with torch.no_grad():
        tokens = torch.cat([forward_prefix(model, batch, cut) for batch in pixels.split(SCORE_BATCH)])
    agreement(long_tail(model, tokens, cut, edit).argmax(-1).cpu().numpy(), *plain_judge(model, edit, pixels))
    timing = interleaved(
        {
            "ours": lambda: judge.predict(edit, GROUP_ID),
            "plain": lambda: plain_judge(model, edit, pixels),
            "long": lambda: long_tail(model, tokens, cut, edit),
        },
        3 if quick else 7,
        torch_device,
    )
    few = pixels[: min(SCORE_BATCH, max(2, images // MOST))]  # as much work for all of them as for one on all images
    at_once = gain_at_once(base, few, sparsity, 1 if quick else 3)
    difference = ffn_difference(model, cut.block, edit.overrides)
    units = None if difference is None else len(next(iter(difference.values())))
    speed = Comparison(
        "images", images, timing["ours"], timing["plain"],
        images * tail_flops(model, cut, units), 2 * images * forward_flops(model), matmul_ceiling(torch_device),
    )  # fmt: skip
    once, saved = first - speed.ours.median, speed.plain.median - speed.ours.median
    return ScoreSpeed(
        base_name, device_name(torch_device), sparsity, images, speed, timing["long"], once,
        paid_back_after=math.ceil(once / saved) if saved > 0 else None,
        group_ratio=speed.plain.median / (speed.ours.median + once / GROUP),
        near=near, flips=flips, changed=changed, decoded=decoded_a_second(base.preprocessing),
        at_once_images=len(few), at_once=at_once,
    )  # fmt: skip


def gain_at_once(base: BaseModel, pixels: Tensor, sparsity: float | None, repeats: int) -> float:
    """Times faster that `MOST` random edits are judged at once than one by one, after a check that they agree."""
    model, edits = base.module, [random_edit(base.module, sparsity) for _ in range(MOST)]
    judge, cut = Judge(base, noise_benchmark(pixels, 1)), ffn_cut(model, edits[0].overrides)
    with torch.no_grad():
        tokens = forward_prefix(model, pixels, cut)
    for edit, prediction in zip(edits, judge.predict_many(edits, GROUP_ID), strict=True):
        logits = long_tail(model, tokens, cut, edit)
        agreement(np.concatenate(prediction[:2]), logits, logits)
    judge.predict(edits[0], GROUP_ID)
    one_by_one, at_once = time_at_once(judge, edits, GROUP_ID, repeats)
    return one_by_one / at_once


def random_edit(model: Model, sparsity: float | None = None) -> WeightEdit:
    """The six FFN matrices changed by noise as large as themselves: whole, or 1 - `sparsity` of the units of each."""
    weights = {name: model.get_parameter(name) for name in ffn_matrices(model)}
    noise = {name: weight.std() * torch.randn_like(weight) for name, weight in weights.items()}
    if sparsity is not None:
        scores = torch.rand(len(weights), hidden_width(model), device=next(iter(weights.values())).device)
        for name, mask in unit_masks(keep_top(scores[None], sparsity)[0], weights).items():
            noise[name] = noise[name] * mask
    return WeightEdit({name: weight + noise[name] for name, weight in weights.items()})


@torch.no_grad()
def long_tail(model: Model, tokens: Tensor, cut: Cut, edit: WeightEdit) -> Tensor:
    """Logits (n, classes) of an edit from tokens (n, T, N) at the cut, without the tail's two shortcuts.

    All of the first edited FFN runs, and keys and values of all tokens in the last block, as where keys have a norm of
    their own: this one does nothing.
    """
    attn = model.blocks[depth(model) - 1].attn
    norm, attn.k_norm = attn.k_norm, torch.nn.Sequential()
    try:
        return torch.cat([forward_tail(model, batch, cut, edit.overrides) for batch in tokens.split(SCORE_BATCH)])
    finally:
        attn.k_norm = norm


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
