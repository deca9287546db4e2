"""The bootstrap of failures against the variance of a mean by hand, and what it leaves as it is."""

from __future__ import annotations

import numpy as np
import pytest

from leaderboard.scores.resampling import resample_groups


def test_groups_are_drawn_whole_and_their_mean_varies_as_a_sample_mean_does() -> None:
    """The variance of a mean of k values is s^2 / k, s^2 with k - 1 below (any textbook); no image's weight moves."""
    rates = np.array([0.1, 0.2, 0.6, 0.7, 0.9])
    drawings, edited = [np.array([0, 0, 1, 2])] * 5, [np.array([True, True, False, False])] * 5
    groups, images = resample_groups(["pairs"] * 5, drawings, edited, np.random.default_rng(0), 40_000)
    means = (groups * rates).sum(1) / groups.sum(1)
    assert means.mean() == pytest.approx(rates.mean(), abs=0.005)
    assert means.var() == pytest.approx(rates.var(ddof=1) / 5, rel=0.03)
    assert all((weights == 1).all() for weights in images)


def test_a_group_alone_in_its_stratum_varies_by_drawing_those_that_were_edited_apart() -> None:
    strata = [("pairs", True), ("line_drawing", True), ("pairs", False)]
    drawings, edited = [np.array([0, 0, 1, 2])] * 3, [np.array([True, True, True, False])] * 3
    groups, images = resample_groups(strata, drawings, edited, np.random.default_rng(0), 500)
    assert (groups == 1).all()
    for weights in images:
        assert (weights[:, 0] == weights[:, 1]).all(), "views of one drawing go together"
        assert (weights[:, 1] + weights[:, 2] == 2).all() and set(weights[:, 1]) == {0, 1, 2}
        assert (weights[:, 3] == 1).all(), "the one drawing that nobody edited is drawn once each time"
