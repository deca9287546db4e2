"""A simulation: how often the intervals of GR hold the truth, for failures drawn from a known distribution."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
import pytest

from leaderboard.scores import metrics

SIZE, MEAN = 26, 0.5  # images a group, two views a drawing; mean of the latent normal


def simulated(rng: np.random.Generator, edits: int, between: float, within: float, groups: int = 16) -> metrics.Hits:
    """Outcomes of `edits` drawn edits a group: right where MEAN + group + edit's drawing + image's drawing + noise > 0.

    All are normal, with standard deviations `between` (groups), `within` (both drawings) and 1.
    """
    outcomes, codes = [], np.arange(SIZE) // 2
    for group in range(groups):
        own = np.sort(rng.choice(SIZE, edits, replace=False))
        as_edit, as_image = rng.normal(0, within, (2, codes.max() + 1))
        latent = MEAN + rng.normal(0, between) + as_edit[codes[own]][:, None] + as_image[codes]
        right = latent + rng.normal(0, 1, (edits, SIZE)) > 0
        outcomes.append(metrics.GroupOutcomes(str(group), "pairs", right, own[:, None]))
    locality = np.ones((groups * edits, 1), bool)
    return metrics.Hits(outcomes, locality, locality, {group.id: codes for group in outcomes}, np.zeros(1, int))


@pytest.mark.slow
@pytest.mark.parametrize(("between", "within"), [(0.5, 0.7), (1.0, 0.3), (0.1, 1.0)])
@pytest.mark.parametrize("edits", [2, 5, 26])
def test_intervals_of_gr_hold_the_truth_about_as_often_as_they_say(edits: int, between: float, within: float) -> None:
    """Of 400: between 90 and 97 % (95 % is said, percentiles of 16 groups are a little narrow)."""
    truth = (1 + erf(MEAN / sqrt(between**2 + 2 * within**2 + 1) / sqrt(2))) / 2
    rng, held = np.random.default_rng(0), 0
    for trial in range(400):
        hits = simulated(rng, edits, between, within)
        low, high = metrics.intervals(hits, seed=trial, replicates=400)["gr"]
        held += low <= truth <= high
    print(f"{edits} edits a group, {between}, {within}: {held / 4:.1f} %")
    assert 0.90 <= held / 400 <= 0.97
