"""The border's cost is measured on runs with the same outcomes, of both processes together."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from benchmark.data import dataset
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from leaderboard.measures import border
from leaderboard.records import outcomes


@pytest.fixture
def small(base: BaseModel, small_benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "load_base", lambda name: base)
    monkeypatch.setattr(dataset, "load", lambda name: small_benchmark)
    monkeypatch.setattr(border, "EDITOR", "ft:max_steps=2")


def test_both_processes_count(small: None) -> None:
    cost = border.measure_border(4, 2)
    assert cost.edits == 4 and len(cost.cpu) == len(cost.wall) == 2
    assert all(value > 0 for pair in (*cost.cpu, *cost.wall) for value in pair)
    rigged = border.BorderCost(**{**asdict(cost), "cpu": [(1.0, 1.1), (2.0, 2.0), (4.0, 8.0)]})
    assert rigged.cpu_ratio == pytest.approx(1.1)


def test_other_outcomes_are_no_cost(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter("abcdef")
    monkeypatch.setattr(outcomes, "digest", lambda run: next(digests))
    with pytest.raises(AssertionError, match="must be equal"):
        border.measure_border(2, 1)
