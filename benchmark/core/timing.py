"""The speed of this project's code beside that of plain code: in one process, A B A B, medians."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmark.core.devices import wait
from benchmark.core.files import write_text


@dataclass(frozen=True)
class Timing:
    """Seconds that a variant took: the median over the repeats, the least and the most."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two variants of the same work, ours and a plain one: `count` items of `unit` (say images), and all FLOPs."""

    unit: str
    count: int
    ours: Timing
    plain: Timing
    ours_flops: float
    plain_flops: float
    ceiling: float  # FLOP/s of a large matrix product on this device

    @property
    def ratio(self) -> float:
        """The plain variant's time over ours."""
        return self.plain.median / self.ours.median

    @property
    def allowed(self) -> float:
        """The plain variant's FLOPs over ours: the ratio of times if both ran at the same FLOP/s."""
        return self.plain_flops / self.ours_flops

    def show(self, title: str) -> None:
        """Print both variants as a table; a command calls this in the end."""
        rows = {
            name: {
                "seconds": f"{timing.median:.3g}",
                "least - most": f"{timing.low:.3g} - {timing.high:.3g}",
                f"{self.unit}/s": f"{self.count / timing.median:.3g}",
                "GFLOP/s": f"{flops / timing.median / 1e9:,.0f}",
                "of the ceiling": f"{flops / timing.median / self.ceiling:.0%}",
            }
            for name, timing, flops in (("ours", self.ours, self.ours_flops), ("plain", self.plain, self.plain_flops))
        }
        print(title)
        print(pd.DataFrame.from_dict(rows, orient="index").to_string())
        print(f"ceiling: {self.ceiling / 1e9:,.0f} GFLOP/s, measured; arithmetic alone allows {self.allowed:.1f}x")


def interleaved(variants: Mapping[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, Timing]:
    """Time each variant once in turn, `repeats` times over, so that a change of clock or load meets all alike.

    The first, unmeasured turn is the caller's: run each variant once before, as a check of equality does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, variant in variants.items():
            wait(device)
            start = time.perf_counter()
            variant()
            wait(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: Timing(statistics.median(times), min(times), max(times)) for name, times in seconds.items()}


def write_json(folder: Path | None, name: str, result: Any) -> None:
    """Write a dataclass of results as FOLDER/NAME.json, atomically; nothing without a folder."""
    if folder is not None:
        write_text(folder / f"{name.replace('/', '-')}.json", json.dumps(dataclasses.asdict(result), indent=2) + "\n")
