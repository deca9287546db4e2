"""The part of a run that goes neither into models nor into decoding: of `ft` on all of the mini, behind the border."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.core.devices import device_name
from benchmark.data import dataset
from editors.core.registry import choose
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.sampling import Settings
from leaderboard.judging.spread import make_judge
from leaderboard.records import outcomes

EDITOR = "ft"
DATA = "mini"


@dataclass(frozen=True)
class Overhead:
    """Seconds of a run of `edits` edits by the clock: all of it, and its parts that are no overhead.

    `total`: from the names of base and data to the record, without imports, and without the base's predictions and
    prefixes, which are models and decoding alone. `editing`: in the editor; `judging`: in the judge's forward passes;
    `decoding`: of the editing samples.
    """

    edits: int
    device: str
    total: float
    editing: float
    judging: float
    decoding: float

    @property
    def share(self) -> float:
        """The part of `total` that is neither models nor decoding."""
        return 1 - (self.editing + self.judging + self.decoding) / self.total


def measure_overhead(edits: int | None = None, device: str | torch.device = "cpu", base: str = "mini") -> Overhead:
    """Run `ft` once on `edits` samples of the mini, or on all, after two that the base's predictions are made for."""
    settings = Settings(limit=edits)
    with tempfile.TemporaryDirectory() as scratch:
        border, chosen_editor = Border(dataset.scored_files(DATA)), choose(EDITOR, base)
        warm = make_judge(base, DATA, None, device)
        evaluate(chosen_editor, warm, Settings(limit=2), Path(scratch) / "warm", False, border)
        start = time.perf_counter()
        make_judge(base, DATA, None, device)
        loaded = time.perf_counter() - start
        start = time.perf_counter()
        evaluate(chosen_editor, warm, settings, Path(scratch) / "run", False, border)
        total = loaded + time.perf_counter() - start
        table = outcomes.read(Path(scratch) / "run").edits
    start = time.perf_counter()
    warm.benchmark.edit.images(warm.base.preprocessing, table["sample"].tolist())
    decoding = time.perf_counter() - start
    return Overhead(
        len(table), device_name(torch.device(device)), total,
        float(table["seconds"].sum()), float(table["score_seconds"].sum()), decoding,
    )  # fmt: skip
