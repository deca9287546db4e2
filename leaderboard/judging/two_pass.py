"""Verdicts of float32 in less time: a first pass in TF32, and a second one of the images that it leaves in doubt.

A GPU multiplies several times faster when it rounds the factors of its products to TF32's ten bits. That moves logits a
little, so a prediction can only flip where the two highest logits are close to each other. Such images are scored again
in float32. Their bound is measured, on the first edits of a run, and then checked on images that were not scored again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.core.devices import float32_state, set_float32_state
from benchmark.predict.engine import top1
from benchmark.predict.store import NOWHERE

FACTOR = 4.0  # the bound over the largest error of a logit: two logits may move towards each other, and twice that
MEASURED = 16  # predictions of a group, D_l and the like that are computed both ways, to measure that error
CHECKED = 0.01  # share of the other images that are scored again to check the bound
COUNTS = ("images", "again", "checked", "disagreements")
Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tally:
    """Counts of a two-pass run, which add up over its batches.

    bound: of the margin between the two highest logits, below which an image is scored again; the largest in use.
    images: predictions that were made with the bound. again: those scored again for their margin. checked: those scored
    again to check the bound. disagreements: those of them that had flipped; each raised the bound, and its batch was
    scored once more.
    """

    bound: float = 0.0
    images: int = 0
    again: int = 0
    checked: int = 0
    disagreements: int = 0


def add_up(tallies: Iterable[Mapping[str, Any]]) -> Tally:
    """The counts of a whole run, from those of its batches; of the bounds, the largest."""
    counts = [Tally(**tally) for tally in tallies]
    sums = {name: sum(getattr(count, name) for count in counts) for name in COUNTS}
    return Tally(max((count.bound for count in counts), default=0.0), **sums)


@contextmanager
def tf32() -> Iterator[None]:
    """Let the GPU round the factors of float32 products and convolutions to TF32; the old settings come back."""
    before = float32_state()
    try:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        yield
    finally:
        set_float32_state(before)


@dataclass
class TwoPass:
    """The predictions of one run in two passes.

    fast: the setting in which the first pass is computed. seed: of the draw of images that are checked. `bound` is the
    margin below which an image is scored again.
    """

    fast: Callable[[], AbstractContextManager[None]] = tf32
    seed: int = 0

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a run: another editor's edits may move logits by more, so the bound is measured anew."""
        self.bound, self._measured, self._tally = 0.0, 0, Tally()
        self._generator = torch.Generator().manual_seed(self.seed)

    def take_tally(self) -> Tally:
        """The counts since they were last taken."""
        taken, self._tally = self._tally, Tally()
        return taken

    def _count(self, tally: Tally) -> None:
        self._tally = add_up([asdict(self._tally), asdict(tally)])

    def classes(self, logits_of: Logits, inputs: Tensor) -> Tensor:
        """Predictions (n,) of float32 for `inputs` (n, ...), `NOWHERE` where a logit is not finite.

        `logits_of` gives logits (n', classes) of any of the inputs, in float32 unless a setting rounds its products.
        """
        if self._measured < MEASURED:
            return self._measure(logits_of, inputs)
        while True:
            labels, margins = self._first_pass(logits_of, inputs)
            doubtful = ~(margins >= self.bound) | (labels == NOWHERE)
            drawn = torch.rand(len(inputs), generator=self._generator).to(inputs.device) < CHECKED
            rows = (doubtful | drawn).nonzero().flatten()
            exact = top1(logits_of(inputs[rows])) if len(rows) else labels[rows]
            flipped = (exact != labels[rows]) & ~doubtful[rows]
            again, checked = int(doubtful.sum()), int((drawn & ~doubtful).sum())
            self._count(Tally(self.bound, len(inputs), again, checked, int(flipped.sum())))
            if not flipped.any():
                return labels.index_copy(0, rows, exact)
            self.bound = 2 * max(self.bound, float(margins[rows][flipped].max()))

    def _measure(self, logits_of: Logits, inputs: Tensor) -> Tensor:
        """Predictions of float32 alone; the largest difference of a logit between both ways counts for the bound."""
        self._measured += 1
        exact = logits_of(inputs)
        with self.fast():
            rounded = logits_of(inputs)
        difference = (rounded - exact).abs()
        finite = difference.isfinite()
        self.bound = max(self.bound, FACTOR * float(difference[finite].max()) if finite.any() else 0.0)
        return top1(exact)

    def _first_pass(self, logits_of: Logits, inputs: Tensor) -> tuple[Tensor, Tensor]:
        with self.fast():
            logits = logits_of(inputs)
        first, second = logits.topk(2, dim=-1).values.unbind(-1)
        return top1(logits), first - second
