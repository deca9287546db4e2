"""Every committed record is what its outcomes say, about data and weights that are still the ones shipped."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

import leaderboard
from benchmark.data.dataset import load
from benchmark.models.load import load_base
from editors.core.registry import SETTINGS, built_in, choose
from leaderboard.analyses.swaps import count_swaps
from leaderboard.records import outcomes, record
from leaderboard.scores import metrics, tables

RESULTS = Path(leaderboard.__file__).parent / "results"
RECORDS = sorted(RESULTS.rglob("record.json"))


@lru_cache
def weights(name: str) -> str:
    return load_base(name).weights_sha256


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.parent.name}/{path.parent.name}")
def test_scores_come_out_of_the_outcomes_beside_the_record(path: Path) -> None:
    result, rows = record.read(path), outcomes.read(path.parent)
    assert outcomes.digest(rows) == result.outcomes.sha256
    assert len(rows.edits) == result.outcomes.edits
    again = metrics.scores(metrics.compute_hits(rows))
    assert {name: score.value for name, score in result.scores.items()} == pytest.approx(again, nan_ok=True)
    assert result.base.weights_sha256 == weights(result.base.name)
    data = load(result.data.name)  # this base gets all of it wrong, so nothing was filtered away
    if result.schema_version == 1:
        data = replace(data, locality_taken=None, locality_far=None)
    assert (result.data.version, result.data.fingerprint) == (data.version, data.fingerprint)


def test_the_published_table_is_made_from_the_records() -> None:
    made = tables.markdown([record.read(path) for path in RECORDS if path.parent.parent.name == "mini-1"], True)
    published = (RESULTS.parents[1] / "docs" / "mini-1.md").read_text()
    assert published.split("\n\n", 2)[2].strip() == made.strip()


def cells(columns: int) -> dict[str, list[str]]:
    """Rows of docs/editors.md's tables of so many columns, by the editor in the first."""
    text = (RESULTS.parents[1] / "docs" / "editors.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines if len(line) == columns and line[0] != "editor"}


def test_what_is_written_about_the_editors_is_what_the_records_say() -> None:
    runs = {result.editor.spec: (path, result) for path, result in zip(RECORDS, map(record.read, RECORDS), strict=True)
            if path.parent.parent.name == "mini-1"}  # fmt: skip
    table, exchanged = cells(8), cells(4)
    assert len(table) == 16 and len(exchanged) == 16
    for spec, (_, *scores, steps, _) in table.items():
        _, result = runs[spec]
        expected = [result.scores[name].value for name in ("sr", "gr", "gr_pairs", "lr")]
        assert [float(score.split(" ")[0]) for score in scores] == [round(100 * value, 1) for value in expected], spec
        assert steps == (f"{result.outcomes.median_steps:g}" if result.outcomes.median_steps else "–")
    for spec, row in exchanged.items():
        swapped = count_swaps(outcomes.read(runs[spec][0].parent))
        of_z, of_others, to_y = (100 * share for share in (swapped.of_z, swapped.of_others, swapped.exchanged))
        assert row == [f"{of_z:.1f}", f"{of_others:.1f}", f"{to_y:.0f}"], spec


def test_settings_that_are_shipped_for_the_mini_have_a_result() -> None:
    scored = {(result.editor.name, result.editor.spec) for result in map(record.read, RECORDS)}
    shipped = json.loads(SETTINGS.read_text(encoding="utf-8"))["mini"]
    assert shipped.keys() <= built_in().keys()
    for name in shipped:
        assert (name, choose(name, "mini").spec) in scored


def test_there_are_results() -> None:
    assert {path.parent.parent.name for path in RECORDS} == {"mini-1", "mini-1-lr"}
