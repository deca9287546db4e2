"""Every committed record is what its outcomes say, about data and weights that are still the ones shipped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

import leaderboard
from benchmark.dataset import load
from benchmark.models import load_base
from editors.registry import BUILT_IN, choose
from leaderboard import metrics, outcomes, record, tables

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


def test_the_published_table_is_made_from_the_records() -> None:
    made = tables.markdown([record.read(path) for path in RECORDS if path.parent.parent.name == "mini-1"])
    published = (RESULTS.parents[1] / "docs" / "mini-1.md").read_text()
    assert published.split("\n\n", 2)[2].strip() == made.strip()


def test_every_editor_has_a_result_and_its_shipped_settings_are_among_them() -> None:
    scored = {(found.editor.name, found.editor.spec) for found in map(record.read, RECORDS)}
    for name in BUILT_IN:
        assert (name, choose(name, "mini").spec) in scored


def test_there_are_results() -> None:
    assert {path.parent.parent.name for path in RECORDS} == {"mini-1", "mini-1-lr"}
