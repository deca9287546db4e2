"""Scores of edits: outcomes, metrics, records, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from benchmark.core.lazy import lazy
except ImportError as error:  # Python takes a benchmark in the working folder first
    import benchmark

    raise ImportError(f"{benchmark.__file__} hides this project's package benchmark; rename it") from error

if TYPE_CHECKING:
    from leaderboard.judging.evaluate import evaluate
    from leaderboard.judging.judge import Judge
    from leaderboard.judging.sampling import Settings
    from leaderboard.records.record import Record
    from leaderboard.records.runs import find_runs
else:
    __getattr__ = lazy(
        __name__,
        {
            "leaderboard.judging.evaluate": ("evaluate",),
            "leaderboard.judging.judge": ("Judge",),
            "leaderboard.judging.sampling": ("Settings",),
            "leaderboard.records.record": ("Record",),
            "leaderboard.records.runs": ("find_runs",),
        },
    )

__all__ = [
    "Judge",
    "Record",
    "Settings",
    "evaluate",
    "find_runs",
]
