"""Comparing the speed of two ways to do one thing, in one process: A B A B, medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from benchmark.devices import wait


@dataclass(frozen=True)
class Timing:
    """Seconds that one way took: the median over the repeats, the least and the most."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} s ({self.low:.3g} - {self.high:.3g})"


def interleaved(
    ways: Mapping[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, Timing]:
    """Time each way once in turn, `repeats` times over, so that a change of clock or load meets all alike.

    The first, unmeasured turn is the caller's: run each way once before, as its check of equality does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            wait(device)
            start = time.perf_counter()
            way()
            wait(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: Timing(statistics.median(some), min(some), max(some)) for name, some in seconds.items()}
