"""Differences between two runs over the same edits: what one editor has ahead of another, with intervals.

Two intervals that overlap say little about the difference, since both editors met the same samples, easy and hard.
"""

from __future__ import annotations

import numpy as np

from benchmark.core.errors import UserError
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.sections import Score
from leaderboard.scores import metrics
from leaderboard.scores.resampling import REPLICATES, percentiles


def differences(first: Outcomes, second: Outcomes, seed: int = 0, replicates: int = REPLICATES) -> dict[str, Score]:
    """First minus second: `sr`, `gr`, `gr_<subset>`, `lr` and `lr_agreement`, with 95 % intervals.

    Each replicate gives both runs the same weights (`metrics.resample`). An end is None where nothing differs.
    Raises `UserError` unless both made the same edits and were judged on the same images.
    """
    _check_same_edits(first, second)
    minuend, subtrahend = metrics.compute_hits(first), metrics.compute_hits(second)
    weights = metrics.resample(minuend, seed, replicates)
    ours, theirs = metrics.replicate(minuend, weights), metrics.replicate(subtrahend, weights)
    values, their_values = metrics.scores(minuend), metrics.scores(subtrahend)
    return {
        name: Score(value=values[name] - their_values[name], low=low, high=high)
        for name in ours
        for low, high in [percentiles(ours[name] - theirs[name])]
    }


def _check_same_edits(first: Outcomes, second: Outcomes) -> None:
    images = [run.samples[["split", "sha256", "label", "group_id", "base"]].fillna("") for run in (first, second)]
    edits = [[(row, *more) for row, more in zip(run.edits["sample"], run.edits["partners"], strict=True)]
             for run in (first, second)]  # fmt: skip
    if len(images[0]) != len(images[1]) or not np.array_equal(images[0], images[1]) or edits[0] != edits[1]:
        raise UserError("the two runs must hold the same edits of the same base; give two of one --limit and --seed")
