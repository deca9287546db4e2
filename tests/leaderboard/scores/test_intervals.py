"""Committed intervals come out of the outcomes, groups count once, and labels that nobody knows give no score."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import leaderboard
from benchmark.labels.columns import UNKNOWN
from leaderboard.records import outcomes, record
from leaderboard.scores import metrics

RECORDS = sorted((Path(leaderboard.__file__).parent / "results").rglob("record.json"))
RUN = RECORDS[0].parent


@pytest.mark.parametrize("path", RECORDS[::5], ids=lambda path: path.parent.name)
def test_committed_intervals_come_out_of_the_outcomes(path: Path) -> None:
    scores = record.read(path).scores
    intervals = metrics.intervals(metrics.compute_hits(outcomes.read(path.parent)))
    assert {"sr", "gr", "lr", "lr_agreement"} < intervals.keys()
    for name, interval in intervals.items():
        ends = [math.nan if end is None else end for end in (scores[name].low, scores[name].high)]
        assert interval == pytest.approx(ends, abs=1e-9, nan_ok=True), name


def test_intervals_are_the_same_twice_and_others_with_another_seed() -> None:
    hits = metrics.compute_hits(outcomes.read(RUN))
    first, again, other = (metrics.intervals(hits, seed=seed, replicates=50) for seed in (1, 1, 2))
    assert first == again != other


def test_a_locality_image_without_a_label_leaves_lr_unknown_and_agreement_as_it_is() -> None:
    run = outcomes.read(RUN)
    samples = run.samples.copy()
    first = samples.index[samples["split"] == "locality"][0]
    samples.loc[first, "label"] = UNKNOWN
    known = metrics.scores(metrics.compute_hits(run))
    hits = metrics.compute_hits(replace(run, samples=samples))
    unknown, intervals = metrics.scores(hits), metrics.intervals(hits)
    assert {name for name, value in unknown.items() if math.isnan(value)} == {"lr", "lr_groups"}
    assert {name: value for name, value in unknown.items() if not math.isnan(value)} == {
        name: value for name, value in known.items() if name not in ("lr", "lr_groups")
    }
    assert all(map(math.isnan, intervals["lr"])) and not any(map(math.isnan, intervals["lr_agreement"]))
    locality = samples[samples["split"] == "locality"]
    assert metrics.accuracy(locality["base"].to_numpy(), locality["label"].to_numpy()) is None


def test_lr_over_groups_counts_each_group_once() -> None:
    """Group A: three edits, right on 1, 1 and 1 of 2 images; group B: one edit, right on none."""
    groups = [
        metrics.GroupOutcomes(name, "pairs", np.ones((edits, 3), bool), np.zeros((edits, 1), int))
        for name, edits in (("A", 3), ("B", 1))
    ]
    locality = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], bool)
    scores = metrics.scores(metrics.Hits(groups, locality, locality, {}, np.arange(2)))
    assert (scores["lr"], scores["lr_groups"]) == (3 / 8, 1 / 4)
