"""LR on the class that an edit takes from, and far from the boundary, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from benchmark.core.errors import UserError
from leaderboard.records.outcomes import Outcomes, taken_images
from leaderboard.scores import metrics, paired


def outcomes_of(taken: list[list[int]], far: list[list[int]]) -> Outcomes:
    """Four edits in two groups; the base takes their samples for 5, 5, 6 and 9, and has images of 5 and 6 alone."""
    splits = ["edit"] * 4 + ["locality"] * 2 + ["locality_taken"] * 5 + ["locality_far"] * 3
    kept_labels = [5, 6, 5, 6, 5, 1, 2, 3]
    samples = pd.DataFrame(
        {
            "split": splits,
            "sha256": list("abcdwxpqrstuvz"),
            "label": [1, 1, 2, 2, 7, 8, *kept_labels],
            "group_id": ["A", "A", "B", "B", *[None] * 10],
            "subset": ["pairs"] * 4 + ["locality"] * 10,
            "drawing": [*"abcdwx", "p", "q", "p", "s", "t", "u", "v", "v"],
            "base": [5, 5, 6, 9, 7, 8, *kept_labels],
        }
    )
    frame = pd.DataFrame(
        {
            "sample": range(4),
            "partners": [np.array([], np.int32)] * 4,
            "group_id": ["A", "A", "B", "B"],
            "group_predictions": [np.array([1, 1], np.int16)] * 2 + [np.array([2, 2], np.int16)] * 2,
            "locality_predictions": [np.array([7, 8], np.int16)] * 4,
            "taken_predictions": [np.array(classes, np.int16) for classes in taken],
            "far_predictions": [np.array(classes, np.int16) for classes in far],
        }
    )
    return Outcomes(samples, frame)


# Of the three images of 5 the first edit keeps one and the second all; the third edit loses one of two images of 6; the
# fourth failed, and of 9 there is no image.
TAKEN = [[5, 1, 1], [5, 5, 5], [6, 2], []]
FAR = [[1, 2, 3], [1, 2, 0], [1, 0, 0], [-1, -1, -1]]


def test_an_edit_is_judged_on_the_class_that_its_sample_was_taken_for() -> None:
    run = outcomes_of(TAKEN, FAR)
    assert taken_images(run).tolist() == [
        [True, False, True, False, True],
        [True, False, True, False, True],
        [False, True, False, True, False],
        [False] * 5,
    ]
    hits = metrics.compute_hits(run)
    np.testing.assert_array_equal(hits.kept["lr_taken"].rates, [1 / 3, 1, 1 / 2, np.nan])
    np.testing.assert_array_equal(hits.kept["lr_far"].rates, [1, 2 / 3, 1 / 3, 0])
    scores = metrics.scores(hits)
    assert scores["lr_taken"] == pytest.approx((1 / 3 + 1 + 1 / 2) / 3)
    assert scores["lr_far"] == pytest.approx(2 / 4)
    assert scores["lr"] == 1


def test_intervals_resample_edits_and_drawings() -> None:
    hits = metrics.compute_hits(outcomes_of(TAKEN, FAR))
    weights = metrics.resample(hits, replicates=50)
    replicates = metrics.replicate(hits, weights)
    edits = np.concatenate(  # group A's edits weigh what it weighs, times those of their images; then B's
        [weights.images[g][:, hits.groups[g].own[:, 0]] * weights.groups[:, [g]] for g in (0, 1)], axis=1
    )
    for name in ("lr_taken", "lr_far"):
        kept, images = hits.kept[name], weights.kept[name]
        for row in range(50):
            rates, total = [], []
            for edit in range(4):
                image_weights = images[row] * kept.is_judged[edit]
                if image_weights.sum():
                    rates.append(edits[row, edit] * (image_weights * kept.right[edit]).sum() / image_weights.sum())
                    total.append(edits[row, edit])
            expected = sum(rates) / sum(total) if sum(total) else math.nan
            assert replicates[name][row] == pytest.approx(expected, nan_ok=True)
        low, high = metrics.intervals(hits)[name]
        assert low <= metrics.scores(hits)[name] <= high and low < high
    views = hits.kept["lr_far"].drawings
    assert (weights.kept["lr_far"][:, views == views[1]].std(1) == 0).all(), "views of one drawing go together"


def test_a_run_without_these_splits_has_no_such_scores_and_the_others_are_the_same() -> None:
    whole = outcomes_of(TAKEN, FAR)
    old = Outcomes(
        whole.samples[whole.samples["split"].isin(["edit", "locality"])],
        whole.edits.drop(columns=["taken_predictions", "far_predictions"]),
    )
    (new_scores, new_intervals), (old_scores, old_intervals) = (
        (metrics.scores(hits), metrics.intervals(hits)) for hits in map(metrics.compute_hits, (whole, old))
    )
    assert new_scores.keys() - old_scores.keys() == {"lr_taken", "lr_far"}
    assert new_intervals.keys() - old_intervals.keys() == {"lr_taken", "lr_far"}
    for name in old_scores:
        assert new_scores[name] == pytest.approx(old_scores[name], nan_ok=True), name
    for name in old_intervals:
        assert new_intervals[name] == pytest.approx(old_intervals[name], nan_ok=True), name


def test_differences_are_of_the_same_edits_and_images() -> None:
    first, second = outcomes_of(TAKEN, FAR), outcomes_of([[5] * 3, [5] * 3, [6] * 2, []], FAR)
    difference = paired.differences(*paired.resample_together([first, second]))
    assert difference["lr_taken"].value == pytest.approx((1 / 3 + 1 + 1 / 2) / 3 - 1)
    assert difference["lr_far"].value == 0
    with pytest.raises(UserError, match="same edits"):
        paired.resample_together(
            [first, Outcomes(second.samples.iloc[:-3], second.edits.drop(columns="far_predictions"))]
        )
