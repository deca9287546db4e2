"""The run of a chain: the steps that are not done, one after the other, each noted when it has ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.commands import call
from benchmark.core.errors import UserError
from benchmark.core.text import duration
from benchmark.core.workdir import Kind
from leaderboard.chain.committed import Committed
from leaderboard.chain.estimate import Estimate
from leaderboard.chain.plan import Plan, Step

CHAIN = Kind("chain", "chain.json")
TO_DO = "to do"  # states of a step, as the plan prints them
COMMITTED = "committed"
SPARE = 2  # gigabytes of disk that are left over


@dataclass(frozen=True)
class Line:
    """A step of a plan: whether it is done, committed or to be made, and its seconds, taken or estimated."""

    step: Step
    state: str
    seconds: float | None


def list_steps(plan: Plan, committed: Committed, estimate: Estimate) -> list[Line]:
    """The steps of a plan, in order."""
    lines = []
    for step in plan.steps:
        if (done := plan.done(step)) is not None:
            lines.append(Line(step, "done", done.seconds))
        elif committed.has(step):
            lines.append(Line(step, COMMITTED, None))
        else:
            lines.append(Line(step, TO_DO, estimate.seconds(step)))
    return lines


def gigabytes(lines: Sequence[Line]) -> float:
    """Disk that the steps to do take, at most; each row of the table once."""
    rows = {line.step.row.name: line.step.row.gigabytes for line in lines if line.state == TO_DO}
    return sum(rows.values())


def check_disk(lines: Sequence[Line], folder: Path) -> None:
    """Raise `UserError` where the disk cannot take what the steps to do leave."""
    needed = gigabytes(lines) + SPARE
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    if free < needed:
        raise UserError(
            f"{folder}: the steps to do need {needed:.0f} GB of disk at most, and {free:.0f} GB are "
            "free; make room, or name another --out"
        )


def walk(lines: Sequence[Line], plan: Plan, tell: Callable[[str], None]) -> None:
    """Make the steps that are to be made, in order; `tell` gets a line before each.

    Raises `SystemExit` where a command ends in an error, which it has then printed.
    """
    to_do = [line for line in lines if line.state == TO_DO]
    expected = taken = 0.0  # seconds of the steps so far whose time was estimated
    for number, line in enumerate(to_do, 1):
        pace = taken / expected if expected else 1.0
        left = sum(each.seconds or 0 for each in to_do[number - 1 :]) * pace
        tell(f"[{number} of {len(to_do)}] {line.step.name}: {line.step.row.does} ({duration(left)} left in all)")
        start = time.monotonic()
        for words in plan.words(line.step):
            call(words)
        seconds = time.monotonic() - start
        plan.note(line.step, seconds)
        if line.seconds:
            expected, taken = expected + line.seconds, taken + seconds
