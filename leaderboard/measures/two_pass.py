"""Two passes against float32 alone: the same verdicts, the share scored again and, on a GPU, the time.

Random weights and images, and random edits, as `leaderboard.measures.scoring` has them. A CPU has no TF32: there it is
imitated, which says how many images need the second pass, and nothing of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from benchmark.core.devices import device_name, pick
from benchmark.core.timing import Timing, interleaved
from benchmark.models.checks import check_supported
from benchmark.models.load import noise_images, random_base
from leaderboard.judging.judge import Judge
from leaderboard.judging.two_pass import MEASURED, Tally, TwoPass, tf32
from leaderboard.measures.scoring import GROUP, GROUP_ID, LOCALITY, SPARSITY, noise_benchmark, preprocessed, random_edit

EDITS = 6  # beyond those that measure the bound
IMITATED = 160  # images on a CPU
DROPPED = 13  # of float32's 23 bits of mantissa, TF32 keeps 10
aten = torch.ops.aten
PRODUCTS = {
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    aten.convolution.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
}


@dataclass(frozen=True)
class TwoPassSpeed:
    """Verdicts and time of `edits` random edits of `base`, each judged on `images` images.

    `times`: of float32 alone and of two passes; None on a CPU. `flips`: predictions that differ between both.
    """

    base: str
    device: str
    images: int
    edits: int
    tally: Tally
    flips: int
    times: tuple[Timing, Timing] | None


def measure_two_pass(base_name: str, device: str = "cpu", images: int | None = None) -> TwoPassSpeed:
    """Judge the same edits both ways and count what differs; on a GPU, time both in turn."""
    torch_device = pick(device)
    base = preprocessed(random_base(base_name, device=device))
    check_supported(base.module)
    on_cpu = torch_device.type == "cpu"
    images = images or (IMITATED if on_cpu else GROUP + LOCALITY)
    benchmark = noise_benchmark(noise_images(base.module, images), max(1, images * GROUP // (GROUP + LOCALITY)))
    plain = Judge(base, benchmark)
    twice = Judge(base, benchmark, two_pass=TwoPass(imitated_tf32 if on_cpu else tf32))
    assert twice.two_pass is not None
    flips = 0
    for _ in range(MEASURED // 2 + EDITS):
        edit = random_edit(base.module, SPARSITY)
        ours, right = (np.concatenate(judge.predict(edit, GROUP_ID)[:2]) for judge in (twice, plain))
        flips += int((ours != right).sum())
    tally, times = twice.two_pass.take_tally(), None
    if not on_cpu:
        timing = interleaved(
            {"float32": lambda: plain.predict(edit, GROUP_ID), "two passes": lambda: twice.predict(edit, GROUP_ID)},
            5, torch_device,
        )  # fmt: skip
        times = timing["float32"], timing["two passes"]
    return TwoPassSpeed(base_name, device_name(torch_device), images, EDITS, tally, flips, times)


@contextmanager
def imitated_tf32() -> Iterator[None]:
    """Round the factors of all float32 products to TF32's ten bits, as a GPU does that is allowed to."""
    with _Rounding():  # type: ignore[no-untyped-call]
        yield


class _Rounding(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in PRODUCTS:
            args = tree_map(lambda value: _rounded(value) if isinstance(value, Tensor) else value, args)
        return func(*args, **(kwargs or {}))


def _rounded(value: Tensor) -> Tensor:
    """The nearest number of ten bits; vectors are biases, which a GPU adds as they are."""
    if value.dtype != torch.float32 or value.dim() < 2:
        return value
    bits = value.contiguous().view(torch.int32)
    return ((bits + (1 << (DROPPED - 1))) & -(1 << DROPPED)).view(torch.float32)
