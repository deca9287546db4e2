"""A table's heading says what its rows share, and what cannot be compared stands in another table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import leaderboard
from leaderboard.records import record
from leaderboard.records.record import Record
from leaderboard.scores import tables


def changed(result: Record, section: str, **values: Any) -> Record:
    """The same result with other values in one section."""
    return result.model_copy(update={section: getattr(result, section).model_copy(update=values)})


FT = record.read(Path(leaderboard.__file__).parent / "results" / "mini-1" / "ft" / "record.json")


def title(result: Record) -> str:
    """The text above the table that this result is in."""
    return tables.markdown([result]).split("**")[1]


def test_the_heading_of_a_run_over_everything() -> None:
    data = FT.data
    heading = title(FT)
    assert f"mini on mini mini-1: all 418 editing samples from {data.groups} groups, 1 an edit, seed 0, " in heading
    assert f"{data.locality_images:,} locality images, 953 of classes taken from, 160 far, float32 on cpu, " in heading
    assert "batches of 32 edits and 256 images, protocol 2, scoring 2, " in heading


def test_the_heading_says_how_many_samples_were_drawn_and_how_many_made_an_edit() -> None:
    drawn = changed(FT, "protocol", limit=54, seed=9)
    assert "54 drawn editing samples from 18 groups, 1 an edit, seed 9, " in title(drawn)
    assert "54 drawn editing samples from 18 groups, 3 an edit, seed 9, " in title(
        changed(drawn, "protocol", samples_per_edit=3)
    )
    assert "all 418 editing samples from 18 groups, 2 an edit, " in title(changed(FT, "protocol", samples_per_edit=2))


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("protocol", {"version": "0"}),
        ("protocol", {"precision": "float64"}),
        ("protocol", {"limit": 54}),
        ("protocol", {"samples_per_edit": 2}),
        ("data", {"name": "other"}),
        ("data", {"version": "mini-2"}),
        ("data", {"fingerprint": "0" * 64}),
        ("base", {"weights_sha256": "0" * 64}),
    ],
    ids=str,
)
def test_what_was_judged_otherwise_stands_in_another_table(section: str, values: dict[str, Any]) -> None:
    assert tables.markdown([FT, FT]).count("**") == 2, "one title"
    assert tables.markdown([FT, changed(FT, section, **values)]).count("**") == 4


def test_drawn_with_another_seed_is_another_table() -> None:
    drawn = changed(FT, "protocol", limit=54)
    assert tables.markdown([drawn, changed(drawn, "protocol", seed=FT.protocol.seed + 1)]).count("**") == 4
