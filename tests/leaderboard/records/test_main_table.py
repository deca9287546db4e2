"""The reasons why a record stands beside the main table."""

from __future__ import annotations

import pytest

from leaderboard.records.main_table import off_main_table
from leaderboard.records.record import Record
from leaderboard.records.runs import find_runs
from tests.hub_server import ROOT

WHOLE = {
    "protocol": {"limit": None, "edited_groups": None, "precision": "float32", "in_process": False},
    "environment": {"commit": "0" * 40, "dirty": False},
}


@pytest.fixture(scope="module")
def whole() -> Record:
    """A record of a whole run, as the rule has it."""
    _, record = find_runs([ROOT / "leaderboard" / "results" / "mini-1" / "ft"])[0]
    outcomes = {"edits": record.data.editing_samples}
    return changed(record, {**WHOLE, "outcomes": outcomes})


def changed(record: Record, values: dict[str, dict[str, object]]) -> Record:
    sections = {name: getattr(record, name).model_copy(update=update) for name, update in values.items()}
    return record.model_copy(update=sections)


def test_a_whole_run_stands_in_it(whole: Record) -> None:
    assert off_main_table(whole) == ""


@pytest.mark.parametrize(
    ("section", "name", "value", "reason"),
    [
        ("protocol", "limit", 90, "--limit 90"),
        ("protocol", "edited_groups", ["1-2"], "samples of 1 of 18 groups"),
        ("outcomes", "edits", 417, "it edited 417 of 418 samples"),
        ("environment", "commit", None, "outside of a checkout"),
        ("environment", "dirty", True, "a dirty tree"),
        ("environment", "dirty", None, "a dirty tree"),
        ("protocol", "in_process", True, "the judge's own process"),
        ("protocol", "in_process", None, "the judge's own process"),
        ("protocol", "precision", "bfloat16", "its precision is bfloat16"),
        ("protocol", "precision", "two-pass", "its precision is two-pass"),
    ],
)
def test_each_reason_is_said(section: str, name: str, value: object, reason: str, whole: Record) -> None:
    assert reason in off_main_table(changed(whole, {section: {name: value}}))
