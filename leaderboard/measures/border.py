"""The cost of the border between an editor and its judge: whole runs behind it and in process, with equal outcomes."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.devices import device_name
from benchmark.data import dataset
from benchmark.models.load import BaseModel, load_base
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging.border import Border, EditorBehindBorder
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes

EDITOR, DATA = "ft", "mini"


@dataclass(frozen=True)
class BorderCost:
    """Runs of `edits` edits each, in pairs: in process, and behind the border right after or before.

    `cpu` and `wall` hold the seconds (in process, behind the border) of each pair: of the processor, in both processes
    together, and by the clock. Imports are left out: the process that is forked has done them.
    """

    edits: int
    device: str
    cpu: list[tuple[float, float]]
    wall: list[tuple[float, float]]

    @property
    def cpu_ratio(self) -> float:
        """Seconds behind the border over those in process, the median over the pairs."""
        return _ratio(self.cpu)

    @property
    def wall_ratio(self) -> float:
        """The same by the clock, which other work on the machine disturbs."""
        return _ratio(self.wall)


class MeasuredBorder(Border):
    """A border that adds up the processor seconds of editors' processes.

    seconds: so far.
    """

    seconds = 0.0

    def open(
        self, chosen_editor: ChosenEditor, base: BaseModel, edit_timeout: float | None = None
    ) -> EditorBehindBorder:
        """See `Border.open`."""
        editor = super().open(chosen_editor, base, edit_timeout)
        close = editor.close

        def measured_close() -> None:
            self.seconds += editor.cpu_seconds()
            close()

        editor.close = measured_close  # type: ignore[method-assign]
        return editor


def measure_border(edits: int | None = None, pairs: int = 5, base: str = "mini") -> BorderCost:
    """Run `ft` on the mini both ways, `pairs` times in turn, and check that all outcomes are equal.

    `edits` samples are edited, or all. Raises `AssertionError` if outcomes differ.
    """
    border = MeasuredBorder(dataset.scored_files(DATA))
    judge = Judge(load_base(base), dataset.load(DATA))
    _run(judge, Settings(limit=2), border)  # the first run pays for imports, decoding and prefixes
    cpu, wall, digests, made = [], [], set(), 0
    for pair in range(pairs):
        costs = {}
        for place in (None, border) if pair % 2 else (border, None):
            *costs[place], digest, made = _run(judge, Settings(limit=edits), place)
            digests.add(digest)
        (wall_here, cpu_here), (wall_there, cpu_there) = costs[None], costs[border]
        wall.append((wall_here, wall_there))
        cpu.append((cpu_here, cpu_there))
    assert len(digests) == 1, "outcomes behind the border and in process must be equal"
    return BorderCost(made, device_name(judge.base.device), cpu, wall)


def _run(judge: Judge, settings: Settings, border: MeasuredBorder | None) -> tuple[float, float, str, int]:
    """One run's seconds by the clock and of the processor, the digest of its outcomes, and the number of edits."""
    before = border.seconds if border else 0.0
    with tempfile.TemporaryDirectory() as scratch:
        wall, cpu = time.perf_counter(), time.process_time()
        evaluate(choose(EDITOR, judge.base.name), judge, settings, Path(scratch) / "run", False, border)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        run = outcomes.read(Path(scratch) / "run")
    return wall, cpu + (border.seconds - before if border else 0.0), outcomes.digest(run), len(run.edits)


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.median(there / here for here, there in pairs)
