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
            lines.append(Line(step, "committed", None))
        else:
            lines.append(Line(step, "to do", estimate.seconds(step)))
    return lines


def check_disk(plan: Plan, folder: Path) -> None:
    """Raise `UserError` where the disk cannot take what the plan's steps leave."""
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    if free < plan.gigabytes + SPARE:
        raise UserError(
            f"{folder}: the steps to do need {plan.gigabytes + SPARE:.0f} GB of disk at most, and {free:.0f} GB are "
            "free; make room, or name another --out"
        )


def walk(lines: Sequence[Line], plan: Plan, estimate: Estimate, tell: Callable[[str], None]) -> None:
    """Make the steps that are to be made, in order; `tell` gets a line before each.

    Raises `SystemExit` where a command ends in an error, which it has then printed.
    """
    to_do = [line for line in lines if line.state == "to do"]
    pace = 1.0  # of the steps so far: the time they took over the time estimated
    for number, line in enumerate(to_do, 1):
        left = sum(each.seconds or 0 for each in to_do[number - 1 :]) * pace
        tell(f"[{number} of {len(to_do)}] {line.step.name}: {line.step.row.does} ({duration(left)} left in all)")
        start = time.monotonic()
        for words in plan.words(line.step):
            call(words)
        taken = time.monotonic() - start
        plan.note(line.step, taken)
        known = [(each, plan.done(each.step)) for each in to_do[:number] if each.seconds]
        if expected := sum(each.seconds or 0 for each, _ in known):
            pace = sum(done.seconds for _, done in known if done is not None) / expected
