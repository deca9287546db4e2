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
    # agreement by groups: A (10/12), B (4/4), C (4/8)
    assert scores["lr_agreement_groups"] == pytest.approx((10 / 12 + 4 / 4 + 4 / 8) / 3)
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


def test_intervals_hold_the_value_and_are_none_without_variation(hand_worked: Outcomes) -> None:
    hits = metrics.compute_hits(hand_worked)
    values, spread = metrics.scores(hits), metrics.intervals(hits)
    low, high = spread.pop("gr_style")
    assert math.isnan(low) and math.isnan(high), "of two drawings each is the other's only neighbour: nothing varies"
    for name, (low, high) in spread.items():
        assert low <= values[name] <= high, name
    frame = hand_worked.edits.copy()
    frame["group_predictions"] = [
        np.full_like(p, label) for p, label in zip(frame["group_predictions"], [1, 1, 1, 2, 3, 3], strict=True)
    ]
    perfect = metrics.intervals(metrics.compute_hits(Outcomes(hand_worked.samples, frame)))
    assert perfect["sr"] == pytest.approx((0.6097, 1.0), abs=1e-4), "6 of 6, by Wilson (1927)"
    assert np.isnan(perfect["gr"]).all(), "all are right, which is not certainty"


def _plain_bootstrap(hits: metrics.Hits, seed: int, replicates: int) -> np.ndarray:
    """GR and LR of each replicate by plain loops over copies of rows, (replicates, 2)."""
    rng = np.random.default_rng(seed)
    offsets = dict(zip([g.id for g in hits.groups], np.cumsum([0, *[len(g.own) for g in hits.groups]]), strict=False))
    pairs = [group for group in hits.groups if group.subset == "pairs"]
    (alone,) = (group for group in hits.groups if group.subset == "alone")
    results = []
    for _ in range(replicates):
        kept_drawings = rng.integers(hits.locality_drawings.max() + 1, size=hits.locality_drawings.max() + 1)
        kept = [i for d in kept_drawings for i in np.flatnonzero(hits.locality_drawings == d)]

        def locality(group: metrics.GroupOutcomes, edit: int, kept: list[int] = kept) -> float:
            return hits.locality[offsets[group.id] + edit][kept].mean()

        rates, edits, counts = [], [], []
        for i in rng.integers(len(pairs), size=len(pairs) - 1):  # whole groups, one fewer than there are
            rates.append(pairs[i].generalisation.mean())
            edits += [locality(pairs[i], edit) for edit in range(len(pairs[i].own))]
            counts += [len(pairs) / (len(pairs) - 1)] * len(pairs[i].own)
        codes = hits.drawings[alone.id]
        edited = sorted({codes[image] for image in alone.own[:, 0]})
        spared = sorted(set(codes) - set(edited))
        drawings = [*rng.choice(edited, len(edited)), *rng.choice(spared, len(spared))]
        drawn = [image for drawing in drawings for image in np.flatnonzero(codes == drawing)]
        right = []
        for image in drawn:
            for edit in np.flatnonzero(alone.own[:, 0] == image):
                edits.append(locality(alone, edit))
                counts.append(1)
                right += [alone.correct[edit, other] for other in drawn if other != image]
        gr = (np.mean(rates) * len(pairs) + np.mean(right)) / (len(pairs) + 1)
        results.append([gr, np.average(edits, weights=counts)])
    return np.array(results)


def test_intervals_agree_with_a_bootstrap_by_plain_loops() -> None:
    hits = _random_hits()
    fast = metrics.intervals(hits, seed=0, replicates=4000)
    plain = np.percentile(_plain_bootstrap(hits, seed=1, replicates=1500), [2.5, 97.5], axis=0)
    for column, name in enumerate(("gr", "lr")):
        assert fast[name] == pytest.approx(tuple(plain[:, column]), abs=0.02), name


def _random_hits() -> metrics.Hits:
    """Six groups of one subset and one of another; in the last, half of the images were edited."""
    rng = np.random.default_rng(5)
    groups, drawings = [], {}
    for number in range(7):
        size = int(rng.integers(6, 9))
        edited = np.arange(size if number < 6 else size // 2)
        right = rng.random((len(edited), size)) < rng.uniform(0.1, 0.9)
        subset = "pairs" if number < 6 else "alone"
        groups.append(metrics.GroupOutcomes(str(number), subset, right, edited[:, None]))
        drawings[str(number)] = np.arange(size) // 2
    locality = rng.random((sum(len(g.own) for g in groups), 30)) < 0.8
    return metrics.Hits(groups, locality, locality, drawings, np.arange(30) // 3)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),  # Wilson (1927), to four digits, from Newcombe (1998), table I, and by hand
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (10, 10, (0.7225, 1)),
    ],
)
def test_wilsons_interval_against_published_values(part: int, whole: int, expected: tuple[float, float]) -> None:
    assert metrics.wilson(part, whole) == pytest.approx(expected, abs=6e-5)


def test_one_group_of_one_drawing_has_no_interval() -> None:
    """An interval of no width would look like the surest of the table."""
    right = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1]], bool)
    group = metrics.GroupOutcomes("a", "s", right, np.arange(4)[:, None])
    locality = np.ones((4, 2), bool)
    hits = metrics.Hits([group], locality, locality, {"a": np.zeros(4, int)}, np.arange(2))
    spread = metrics.intervals(hits)
    assert np.isnan([*spread["gr"], *spread["gr_s"], *spread["lr"]]).all()
    assert spread["sr"] == pytest.approx((0.5101, 1), abs=1e-4), "4 of 4"


def test_gr_leaves_out_an_edits_own_twin(hand_worked: Outcomes) -> None:
    """The authors' archives may hold one image twice: right on both says nothing of a third."""
    samples = hand_worked.samples.assign(sha256=list("aacdefwxyz"))
    a = metrics.compute_hits(Outcomes(samples, hand_worked.edits)).groups[0]
    # A predicts [1, 1, 0], [1, 0, 1], [0, 0, 1] of label 1; images 0 and 1 are one.
    assert a.others.tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    assert a.generalisation.tolist() == [0, 1, 0] and a.success.tolist() == [True, False, True]
    whole = metrics.compute_hits(hand_worked).groups[0]
    assert a.released.tolist() == whole.released.tolist(), "as the authors count"


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
