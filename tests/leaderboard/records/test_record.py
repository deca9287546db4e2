"""Records of another schema, and with scores that cannot be, are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import leaderboard
from benchmark.core.readers import Unreadable
from leaderboard.records import outcomes, record
from leaderboard.scores import metrics, tables

OLD = Path(__file__).with_name("schema_1")  # a run as it was committed before schema 2
RUN = Path(leaderboard.__file__).parent / "results" / "mini-1" / "ft" / "record.json"


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("schema_version",), 99, "schema_version"),
        (("schema_version",), 0, "schema_version"),
        (("scores", "sr", "value"), 900, "the score sr is 900, which is no share"),
        (("scores", "gr", "value"), -0.1, "the score gr is -0.1"),
        (("scores", "gr_released", "value"), -2, "the score gr_released is -2"),
        (("scores", "lr", "high"), 1.01, "the score lr is 1.01"),
        (("outcomes", "edits"), -1, "outcomes.edits"),
        (("outcomes", "failed"), 10**6, "more edits failed"),
        (("outcomes", "failed"), 1.5, "outcomes.failed"),
        (("noise_floor", "flips"), 10**9, "more predictions changed than were compared"),
        (("costs", "fit_seconds"), -1, "costs.fit_seconds"),
        (("unknown",), 1, "unknown"),
        (("key",), None, "key"),
    ],
)
def test_a_record_that_cannot_be_is_refused(place: tuple[str, ...], value: Any, reason: str, tmp_path: Path) -> None:
    values = json.loads(RUN.read_text())
    assert record.read(RUN).scores["gr_released"] is not None
    section = values
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(Unreadable, match=reason) as caught:
        record.read(tmp_path / "record.json")
    assert "\n" not in str(caught.value)


def test_a_record_of_schema_1_is_read_as_ever() -> None:
    old, new = record.read(OLD / "record.json"), record.read(RUN)
    assert (old.schema_version, new.schema_version) == (1, 2)
    again = metrics.scores(metrics.compute_hits(outcomes.read(OLD, old.outcomes.sha256)))
    assert {name: score.value for name, score in old.scores.items()} == pytest.approx(again, nan_ok=True)
    header, row = tables.rows([old])
    assert [row[header.index(name)] for name in ("SR", "LR", "LR taken", "LR far")] == ["0.0", "100.0", "–", "–"]
    assert old.comparable_key() != new.comparable_key()
