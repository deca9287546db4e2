"""The ranking number worked out by hand, ties as ties, and intervals and ranges that hold a known truth."""

from __future__ import annotations

import re
from itertools import combinations
from math import erf, sqrt
from pathlib import Path

import numpy as np
import pytest

import leaderboard
from leaderboard.records.record import Record
from leaderboard.records.runs import find_newest
from leaderboard.scores import metrics, paired, ranking
from leaderboard.scores.metrics import GroupOutcomes, Hits
from leaderboard.scores.paired import Resampled
from leaderboard.scores.ranking import dominated_area, rank_ranges
from leaderboard.scores.summary import with_interval

MINI = Path(leaderboard.__file__).parent / "results" / "mini-1"


@pytest.mark.parametrize(
    ("settings", "area"),
    [
        ([(1.0, 0.8, 0.5)], 0.4),
        ([(1.0, 0.8, 0.5), (0.96, 0.5, 0.9)], 0.5 * 0.9 + 0.3 * 0.5),
        ([(1.0, 0.5, 0.9), (1.0, 0.8, 0.5), (1.0, 0.4, 0.4)], 0.5 * 0.9 + 0.3 * 0.5),  # any order; one is dominated
        ([(1.0, 0.5, 0.9), (1.0, 0.5, 0.9)], 0.45),  # twice is once
        ([(1.0, 0.5, 0.9), (0.94, 0.9, 0.9)], 0.45),  # fails too often
        ([(19 / 20, 0.5, 0.5)], 0.25),  # 95 % is enough
        ([(0.0, 0.0, 1.0)], 0.0),  # the edit that does nothing
        ([(1.0, np.nan, 0.5)], np.nan),
        ([(1.0, 0.5, 0.5), (0.2, np.nan, np.nan)], 0.25),
    ],
)
def test_the_area_by_hand(settings: list[tuple[float, ...]], area: float) -> None:
    assert float(dominated_area(*np.array(settings, float).T)) == pytest.approx(area, nan_ok=True)


def test_the_area_is_the_share_of_points_that_a_setting_is_as_good_as() -> None:
    """Against counting on a grid: of the square's points, those no better than a setting that counts."""
    rng = np.random.default_rng(0)
    grid = (np.arange(400) + 0.5) / 400
    for _ in range(5):
        sr, gr, lr = rng.uniform(0.9, 1, 6), rng.uniform(0, 1, 6), rng.uniform(0, 1, 6)
        dominated = np.zeros((400, 400), bool)
        for success, x, y in zip(sr, gr, lr, strict=True):
            if success >= 0.95:
                dominated |= (grid[:, None] <= x) & (grid <= y)
        assert float(dominated_area(sr, gr, lr)) == pytest.approx(dominated.mean(), abs=0.006)


def test_ties_are_ties_and_what_is_certain_is_a_rank() -> None:
    rng = np.random.default_rng(0)
    shared, own = rng.normal(0, 0.1, 1000), rng.normal(0, 0.01, (2, 1000))
    values = np.array([0.5, 0.5, 0.2, 0.505])
    replicates = np.stack([0.5 + shared, 0.5 + shared, 0.2 + shared + own[0], 0.505 + shared + own[1]])
    assert rank_ranges(values, replicates) == [(1, 3), (1, 3), (4, 4), (1, 3)], "wide, but they move together"
    assert rank_ranges(values[:1], replicates[:1]) == [(1, 1)]
    assert rank_ranges(np.array([0.5, 0.4]), np.full((2, 9), [[0.5], [0.4]])) == [(1, 1), (2, 2)]


def record_like(record: Record, name: str) -> Record:
    """The same run under another name."""
    editor = record.editor.model_copy(update={"name": name, "spec": name, "knob": None, "config": {}})
    return record.model_copy(update={"key": name, "editor": editor})


def test_two_editors_with_the_same_outcomes_share_their_ranks() -> None:
    runs = find_newest([MINI / name for name in ("head-only", "ft", "null-edit")])
    ft, head, null = (record for _, record in runs)
    of_ft, of_head, of_null = paired.read_together(runs)
    records = [*(record_like(ft, name) for name in "ab"), record_like(head, "c"), record_like(null, "d")]
    ranked = ranking.rank(records, [of_ft, of_ft, of_head, of_null])
    assert [(each.line.label, each.ranks) for each in ranked] == [
        ("c", (1, 1)),
        ("a", (2, 3)),
        ("b", (2, 3)),
        ("d", (4, 4)),
    ]
    first, second, *_, last = ranked
    assert first.area.value == pytest.approx(head.scores["gr"].value * head.scores["lr"].value)
    gap = first.minus(second)
    assert gap.value == pytest.approx(first.area.value - second.area.value) and 0 < gap.low < gap.value < gap.high
    assert (last.area.value, last.counted, ranked[1].minus(ranked[2]).low) == (0, 0, None)


def test_a_base_without_locality_labels_has_no_area_and_no_rank() -> None:
    (run,) = find_newest([MINI / "ft"])
    (scores,) = paired.read_together([run])
    unknown = {"lr": np.nan}, {"lr": np.full_like(scores.replicates["lr"], np.nan)}
    without = Resampled({**scores.values, **unknown[0]}, {**scores.replicates, **unknown[1]})
    known, other = ranking.rank([record_like(run[1], "b"), record_like(run[1], "a")], [without, scores])
    assert (known.line.label, known.ranks) == ("a", (1, 1))
    assert (other.area.value, other.ranks, other.minus(known).value) == (None, None, None)


def test_a_sweep_is_one_editor_and_each_trained_state_another() -> None:
    folders = [*MINI.glob("hypernetwork-*0.9*"), *MINI.glob("head-only*"), *MINI.glob("ft-l2-c=0.05")]
    runs = find_newest(folders)
    ranked = ranking.rank([record for _, record in runs], paired.read_together(runs))
    counts = {
        re.sub(" [0-9a-f]{8}$", "", each.line.label): (len(each.line.runs), len(each.line.points), each.counted)
        for each in ranked
    }
    checkpoint = "hypernetwork checkpoint=out/hypernetwork/mini-seed{}.safetensors"
    assert counts == {
        "head-only": (1, 4, 4),
        "ft-l2": (1, 1, 1),
        "hypernetwork": (1, 2, 2),
        checkpoint.format(1): (1, 2, 2),
        checkpoint.format(2): (1, 2, 2),
    }
    assert ranked[0].line.label == "head-only" and ranked[0].ranks == (1, 1)
    networks = [each.ranks for each in ranked if each.line.label.startswith("hypernetwork")]
    assert all(a[0] <= b[1] and b[0] <= a[1] for a, b in combinations(networks, 2)), "three trainings are tied"


# ------------------------------------------------------------------------------------------ a known truth

BETWEEN, GROUPS, SIZE, D_L = 0.7, 16, 8, 60


def simulated(rng: np.random.Generator, means: np.ndarray, locality: np.ndarray) -> list[Hits]:
    """Outcomes of several editors over the same samples: each right where mean + group + image + noise is above 0.

    The group and the image are shared by all editors, as a hard sample is hard for all; the noise is an editor's own.
    `locality` are the means on D_l, whose images are shared in the same way. All are normal with standard deviations
    BETWEEN (group), 1 (image) and 1 (noise).
    """
    group, image = rng.normal(0, BETWEEN, (GROUPS, 1, 1)), rng.normal(0, 1, (GROUPS, 1, SIZE))
    kept = rng.normal(0, 1, D_L)
    edits, own = 4, np.arange(4)[:, None]
    drawings = {str(n): np.arange(SIZE) for n in range(GROUPS)}
    results = []
    for mean, mean_on_kept in zip(means, locality, strict=True):
        right = mean + group + image + rng.normal(0, 1, (GROUPS, edits, SIZE)) > 0
        right[:, np.arange(edits), np.arange(edits)] = True  # every edit succeeds
        stays = mean_on_kept + kept + rng.normal(0, 1, (GROUPS * edits, D_L)) > 0
        groups = [GroupOutcomes(str(n), "pairs", right[n], own) for n in range(GROUPS)]
        results.append(Hits(groups, stays, stays, drawings, np.arange(D_L)))
    return results


def share(mean: float, *deviations: float) -> float:
    """The probability that a normal value with this mean and these standard deviations is above 0."""
    return (1 + erf(mean / sqrt(sum(d * d for d in deviations)) / sqrt(2))) / 2


def resampled(hits: list[Hits], seed: int, replicates: int = 300) -> list[Resampled]:
    weights = metrics.resample(hits[0], seed, replicates)
    return [Resampled(metrics.scores(each), metrics.replicate(each, weights)) for each in hits]


def areas(editors: list[Resampled]) -> tuple[np.ndarray, np.ndarray]:
    """The ranking numbers of editors without a knob, (editors,), and their replicates, (editors, replicates)."""

    def of(values: list[dict]) -> np.ndarray:
        return np.stack(
            [dominated_area(*(np.asarray(each[n])[..., None] for n in ("sr", "gr", "lr"))) for each in values]
        )

    return of([each.values for each in editors]), of([each.replicates for each in editors])


@pytest.mark.slow
def test_paired_intervals_hold_a_known_difference_about_as_often_as_they_say() -> None:
    """Of 300 simulations: 95 % is said; GR, LR and area of one editor minus another that is better by so much.

    That of LR is careful (99 %): edits and images of D_l are both drawn, and the noise of each pair counts in both.
    """
    means, locality = np.array([0.8, 0.5]), np.array([1.0, 1.4])
    gr = np.array([share(mean, BETWEEN, 1, 1) for mean in means])
    lr = np.array([share(mean, 1, 1) for mean in locality])
    truth = {"gr": gr[0] - gr[1], "lr": lr[0] - lr[1], "area": gr[0] * lr[0] - gr[1] * lr[1]}
    rng, trials = np.random.default_rng(1), 300
    held, narrower = dict.fromkeys(truth, 0), 0
    for trial in range(trials):
        editors = resampled(simulated(rng, means, locality), trial)
        differences = paired.differences(*editors)
        values, replicates = areas(editors)
        differences["area"] = with_interval(values[0] - values[1], replicates[0] - replicates[1])
        for name, value in truth.items():
            held[name] += differences[name].low <= value <= differences[name].high
        spread = np.std([each.replicates["gr"] for each in editors], axis=1)
        narrower += np.std(editors[0].replicates["gr"] - editors[1].replicates["gr"]) < np.hypot(*spread)
    print({name: count / trials for name, count in held.items()})
    assert all(0.90 <= count / trials <= (1 if name == "lr" else 0.98) for name, count in held.items())
    assert narrower == trials, "pairing helps"


@pytest.mark.slow
def test_ranges_hold_the_true_ranks_of_all_editors_at_once() -> None:
    """Six editors, of which three are alike, in 200 simulations; 95 % is said, and single intervals would not do."""
    means, locality = np.array([0.9, 0.5, 0.5, 0.5, 0.2, 0.0]), np.full(6, 1.2)
    true_ranks = [(1, 1), (2, 4), (2, 4), (2, 4), (5, 5), (6, 6)]
    rng, trials, held, told_apart, single = np.random.default_rng(2), 200, 0, 0, 0
    for trial in range(trials):
        values, replicates = areas(resampled(simulated(rng, means, locality), trial))
        ranges = rank_ranges(values, replicates)
        held += all(
            low <= best and worst <= high for (low, high), (best, worst) in zip(ranges, true_ranks, strict=True)
        )
        told_apart += ranges[0][0] == ranges[0][1] == 1
        pairs = combinations((1, 2, 3), 2)
        alike = [with_interval(values[a] - values[b], replicates[a] - replicates[b]) for a, b in pairs]
        single += all(score.low <= 0 <= score.high for score in alike)
    print(f"all held {held / trials}, best first {told_apart / trials}, three single intervals {single / trials}")
    assert held / trials >= 0.92 and told_apart / trials > 0.3
    assert single < held
