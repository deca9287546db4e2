"""Every committed record is what its outcomes say, about data and weights that are still the ones shipped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

import leaderboard
from benchmark.dataset import load
from benchmark.models import load_base
from leaderboard import metrics, outcomes, record

RESULTS = Path(leaderboard.__file__).parent / "results"
RECORDS = sorted(RESULTS.rglob("record.json"))


@lru_cache
def weights(name: str) -> str:
    return load_base(name).weights_sha256


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.parent.name}/{path.parent.name}")
def test_scores_come_out_of_the_outcomes_beside_the_record(path: Path) -> None:
    found, rows = record.read(path), outcomes.read(path.parent)
    assert outcomes.digest(rows) == found.outcomes.sha256
    assert len(rows.edits) == found.outcomes.edits
    again = metrics.scores(metrics.judged(rows))
    assert {name: score.value for name, score in found.scores.items()} == pytest.approx(again, nan_ok=True)
    assert found.base.weights_sha256 == weights(found.base.name)
    data = load(found.data.name)  # this base gets all of it wrong, so nothing was filtered away
    assert (found.data.version, found.data.fingerprint) == (data.version, data.fingerprint)


def test_there_are_results() -> None:
    assert {path.parent.parent.name for path in RECORDS} == {"mini-1", "mini-1-lr"}
