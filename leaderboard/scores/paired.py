"""Scores of several runs over the same edits, resampled together: differences between editors, with intervals.

Two intervals that overlap say little about the difference, since both editors met the same samples, easy and hard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.core.errors import UserError
from leaderboard.records import outcomes
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.record import Record
from leaderboard.records.sections import Score
from leaderboard.scores import metrics
from leaderboard.scores.resampling import REPLICATES
from leaderboard.scores.summary import with_interval


@dataclass(frozen=True)
class Resampled:
    """The scores of one run by name, and beside them those under each set of bootstrap weights, (replicates,) each.

    All runs that were resampled together have the same weights, so that replicates subtract. `sr`, `gr`,
    `gr_<subset>` and each LR have replicates.
    """

    values: dict[str, float]
    replicates: dict[str, np.ndarray]


def resample_together(runs: Iterable[Outcomes], seed: int = 0, replicates: int = REPLICATES) -> list[Resampled]:
    """The scores of each run, under the same weights in each replicate (`metrics.resample`).

    Raises `UserError` unless all made the same edits and were judged on the same images.
    """
    results: list[Resampled] = []
    for run in runs:
        hits = metrics.compute_hits(run)
        if not results:
            first, weights = run, metrics.resample(hits, seed, replicates)
        _check_same_edits(first, run)
        results.append(Resampled(metrics.scores(hits), metrics.replicate(hits, weights)))
    return results


def read_together(runs: Iterable[tuple[Path, Record]]) -> list[Resampled]:
    """`resample_together` of finished runs, each given by its record's path and its record."""
    return resample_together(outcomes.read(path.parent, record.outcomes.sha256) for path, record in runs)


def differences(first: Resampled, second: Resampled) -> dict[str, Score]:
    """First minus second: each score that has replicates, with the 95 % interval of the difference.

    An end is None where nothing differs.
    """
    return {
        name: with_interval(first.values[name] - second.values[name], ours - second.replicates[name])
        for name, ours in first.replicates.items()
    }


def _check_same_edits(first: Outcomes, second: Outcomes) -> None:
    images = [run.samples[["split", "sha256", "label", "group_id", "base"]].fillna("") for run in (first, second)]
    edits = [[(row, *more) for row, more in zip(run.edits["sample"], run.edits["partners"], strict=True)]
             for run in (first, second)]  # fmt: skip
    if len(images[0]) != len(images[1]) or not np.array_equal(images[0], images[1]) or edits[0] != edits[1]:
        raise UserError("the runs must hold the same edits of the same base; give those of one --limit and --seed")
