"""Metrics on outcomes worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from leaderboard.records.outcomes import Outcomes
from leaderboard.scores import metrics


@pytest.fixture
def hand_worked() -> Outcomes:
    """Three groups: A of 3 images (label 1), B of 1 (label 2), C of 2 (label 3); D_l of 4 (labels 7, 7, 8, 8).

    The base is wrong on the last locality image (says 9). One edit a sample of A and C, one of B; the
    second edit of C failed.
    """
    samples = pd.DataFrame(
        {
            "split": ["edit"] * 6 + ["locality"] * 4,
            "sha256": list("abcdefwxyz"),
            "label": [1, 1, 1, 2, 3, 3, 7, 7, 8, 8],
            "group_id": ["A", "A", "A", "B", "C", "C", None, None, None, None],
            "subset": ["pairs", "pairs", "pairs", "pairs", "style", "style", *["locality"] * 4],
            "drawing": ["a", "a", "b", "c", "d", "e", "w", "w", "x", "x"],
            "base": [0, 0, 0, 0, 0, 0, 7, 7, 8, 9],
        }
    )
    gone, same = [-1, -1, -1, -1], [7, 7, 8, 9]
    edits = [
        # sample, group, predictions on the group, predictions on D_l, failure
        (0, "A", [1, 1, 0], same, None),  # worked; 1 of 2 others
        (1, "A", [1, 0, 1], [7, 7, 8, 8], None),  # did not work itself; 2 of 2 others; mends the base on D_l
        (2, "A", [0, 0, 1], [0, 7, 8, 9], None),  # worked; 0 of 2 others; breaks one of D_l
        (3, "B", [2], same, None),  # worked; nobody else to generalise to
        (4, "C", [3, 3], same, None),  # worked; 1 of 1 others
        (5, "C", [-1, -1], gone, "NaN"),  # failed: wrong everywhere
    ]
    frame = pd.DataFrame(
        {
            "sample": [e[0] for e in edits],
            "partners": [np.array([], np.int32) for _ in edits],
            "group_id": [e[1] for e in edits],
            "group_predictions": [np.array(e[2], np.int16) for e in edits],
            "locality_predictions": [np.array(e[3], np.int16) for e in edits],
            "failure": [e[4] for e in edits],
            "steps": 1,
            "seconds": 0.0,
        }
    )
    return Outcomes(samples, frame)


def test_scores_worked_out_by_hand(hand_worked: Outcomes) -> None:
    scores = metrics.scores(metrics.compute_hits(hand_worked))
    assert scores["sr"] == pytest.approx(4 / 6)
    # GR: A (1/2 + 2/2 + 0/2) / 3 = 1/2; B undefined, so left out; C (1/1 + 0/1) / 2 = 1/2
    assert scores["gr_pairs"] == pytest.approx(1 / 2)
    assert scores["gr_style"] == pytest.approx(1 / 2)
    assert scores["gr"] == pytest.approx(1 / 2)
    # LR against labels 7 7 8 8: 3/4, 4/4, 2/4, 3/4, 3/4, 0
    assert scores["lr"] == pytest.approx((3 + 4 + 2 + 3 + 3 + 0) / 24)
    # agreement with the base's 7 7 8 9: 4/4, 3/4, 3/4, 4/4, 4/4, 0
    assert scores["lr_agreement"] == pytest.approx((4 + 3 + 3 + 4 + 4 + 0) / 24)
    # by groups first: A (9/12), B (3/4), C (3/8)
    assert scores["lr_groups"] == pytest.approx((9 / 12 + 3 / 4 + 3 / 8) / 3)
    # released GR (correct - 1) / |S|: A (1 + 1 + 0) / 9, B 0 / 1, C (1 + -1) / 4
    assert scores["gr_released"] == pytest.approx((2 / 9 + 0 + 0) / 3)


def test_gr_is_a_mean_over_groups_and_not_over_images(hand_worked: Outcomes) -> None:
    hits = metrics.compute_hits(hand_worked)
    rates = metrics.generalisation_rates(hits)
    assert rates["A"] == pytest.approx(0.5)
    assert math.isnan(rates["B"])
    assert metrics.mean_over_groups(hits, {"A": 1.0, "B": float("nan"), "C": 0.0}) == 0.5


def test_own_sample_is_excluded_from_gr(hand_worked: Outcomes) -> None:
    """An editor that mends its own sample and nothing else has GR 0, whatever its SR."""
    frame = hand_worked.edits.copy()
    alone = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [2], [3, 0], [0, 3]]
    frame["group_predictions"] = [np.array(predictions) for predictions in alone]
    scores = metrics.scores(metrics.compute_hits(Outcomes(hand_worked.samples, frame)))
    assert scores["sr"] == 1
    assert scores["gr"] == 0


def test_intervals_hold_the_value_and_shrink_to_it_without_variation(hand_worked: Outcomes) -> None:
    hits = metrics.compute_hits(hand_worked)
    values, spread = metrics.scores(hits), metrics.intervals(hits)
    for name, (low, high) in spread.items():
        assert low <= values[name] <= high, name
    frame = hand_worked.edits.copy()
    frame["group_predictions"] = [
        np.full_like(p, label) for p, label in zip(frame["group_predictions"], [1, 1, 1, 2, 3, 3], strict=True)
    ]
    perfect = metrics.intervals(metrics.compute_hits(Outcomes(hand_worked.samples, frame)))
    assert perfect["sr"] == perfect["gr"] == (1.0, 1.0)


def _plain_bootstrap(hits: metrics.Hits, seed: int, replicates: int) -> np.ndarray:
    """SR, GR and LR of each replicate by plain loops over copies of rows, (replicates, 3)."""
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(replicates):
        picked = []
        for subset in metrics.subsets(hits):
            inside = [g for g in hits.groups if g.subset == subset]
            picked += [inside[i] for i in rng.integers(len(inside), size=len(inside))]
        kept_drawings = rng.integers(hits.locality_drawings.max() + 1, size=hits.locality_drawings.max() + 1)
        kept = [i for d in kept_drawings for i in np.flatnonzero(hits.locality_drawings == d)]
        offsets = dict(zip([g.id for g in hits.groups],
                           np.cumsum([0, *[len(g.own) for g in hits.groups]]), strict=False))  # fmt: skip
        success, rates, locality, redrawn = [], [], [], {}
        for group in picked:
            codes = hits.drawings[group.id]
            if group.id not in redrawn:
                chosen = rng.integers(codes.max() + 1, size=codes.max() + 1)
                redrawn[group.id] = [i for d in chosen for i in np.flatnonzero(codes == d)]
            drawn = redrawn[group.id]
            right = []
            for image in drawn:
                for edit in np.flatnonzero(group.own[:, 0] == image):
                    success.append(group.success[edit])
                    right += [group.correct[edit, other] for other in drawn if other != image]
                    locality.append(hits.locality[offsets[group.id] + edit][kept].mean())
            if right:
                rates.append(np.mean(right))
        results.append([np.mean(success), np.mean(rates) if rates else np.nan, np.mean(locality)])
    return np.array(results)


def test_intervals_agree_with_a_bootstrap_by_plain_loops() -> None:
    rng = np.random.default_rng(5)
    groups, drawings = [], {}
    for number in range(6):
        size = int(rng.integers(4, 9))
        rate = rng.uniform(0.1, 0.9)
        groups.append(
            metrics.GroupOutcomes(str(number), "pairs", rng.random((size, size)) < rate, np.arange(size)[:, None])
        )
        drawings[str(number)] = np.arange(size) // 2
    edits = sum(len(g.own) for g in groups)
    locality = rng.random((edits, 30)) < 0.8
    hits = metrics.Hits(groups, locality, locality, drawings, np.arange(30) // 3)
    fast = metrics.intervals(hits, seed=0, replicates=4000)
    plain = np.nanpercentile(_plain_bootstrap(hits, seed=1, replicates=1500), [2.5, 97.5], axis=0)
    for column, name in enumerate(("sr", "gr", "lr")):
        assert fast[name] == pytest.approx(tuple(plain[:, column]), abs=0.03), name


def test_gr_leaves_out_all_samples_of_an_edit(hand_worked: Outcomes) -> None:
    """Two samples an edit: in A (0, 1), (1, 2), (2, 0); B has one image only; in C both, so no other is left."""
    frame = hand_worked.edits.copy()
    frame["partners"] = [np.array([other], np.int32) for other in (1, 2, 0, 3, 5, 4)]
    hits = metrics.compute_hits(Outcomes(hand_worked.samples, frame))
    a, b, c = hits.groups
    # A predicts [1, 1, 0], [1, 0, 1], [0, 0, 1] of label 1
    assert a.success.tolist() == [True, False, False]
    assert a.generalisation.tolist() == [0, 1, 0]
    assert a.released.tolist() == [0, 0, pytest.approx(-1 / 3)]
    assert b.success.tolist() == [True] and np.isnan(b.generalisation).all()
    assert c.success.tolist() == [True, False] and np.isnan(c.generalisation).all()
    scores = metrics.scores(hits)
    assert scores["sr"] == pytest.approx(3 / 6)
    assert scores["gr"] == scores["gr_pairs"] == pytest.approx(1 / 3)
    low, high = metrics.intervals(hits)["gr"]
    assert 0 <= low <= 1 / 3 <= high <= 1
