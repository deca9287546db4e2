"""Settings are chosen on dev data, by the stated rule, and land where the registry looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark, load
from benchmark.models.load import BaseModel
from editors.core import registry
from leaderboard import tune
from leaderboard.judging.evaluate import Settings
from leaderboard.judging.judge import Judge


def test_the_best_of_those_that_succeed_is_chosen(base: BaseModel, small_benchmark: Benchmark) -> None:
    chosen, tried = tune.choose_settings("ft-l2", Judge(base, small_benchmark), Settings(), (1e-6, 1e-3, 4e-3))
    rates, knobs = tried[:3], tried[3:]
    assert [row["config"]["lr"] for row in rates] == [1e-6, 1e-3, 4e-3]
    assert len(knobs) == 7 and {row["config"]["lr"] for row in knobs} == {chosen["lr"]}
    for rows, field in ((rates, "lr"), (knobs, "c")):
        enough = [row for row in rows if row["SR"] >= 0.95 * max(r["SR"] for r in rows)]
        best = max(enough, key=lambda row: row["GR"] + row["LR"])
        assert chosen[field] == best["config"][field]


def test_what_is_scored_is_refused() -> None:
    with pytest.raises(UserError, match="mini-dev"):
        tune.main(data="mini")


def test_what_was_chosen_is_written_to_out_beside_what_is_there_and_printed_as_a_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packaged = registry.SETTINGS.read_bytes()
    (tmp_path / "settings.json").write_text(json.dumps({"mini": {"ft-l1": {"c": 1.0}}, "other": {}}))
    words = ["ft", "null-edit", "--limit", "1", "--rates", "0.0005", "--out", str(tmp_path)]
    run(tune.main, words)
    settings = {"ft-l1": {"c": 1.0}, "ft": {"lr": 0.0005}, "null-edit": {}}
    assert json.loads((tmp_path / "settings.json").read_text()) == {"mini": settings, "other": {}}
    tried = json.loads((tmp_path / "tuned" / "mini-ft.json").read_text())
    assert tried["chosen"] == {"lr": 0.0005} and tried["data"] == "mini-dev" and len(tried["tried"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "mini: ft:lr=0.0005" in lines and "mini: null-edit" in lines
    assert registry.SETTINGS.read_bytes() == packaged


@pytest.mark.parametrize("log", sorted((Path(registry.__file__).parent / "tuned").glob("*.json")), ids=lambda p: p.stem)
def test_committed_settings_are_what_was_chosen_on_dev_data(log: Path) -> None:
    log_fields = json.loads(log.read_text())
    base, _, name = log.stem.partition("-")
    assert json.loads(registry.SETTINGS.read_text())[base][name] == log_fields["chosen"]
    assert log_fields["data"] == "mini-dev"
    dev, scored = load("mini-dev"), load("mini")
    assert set(dev.edit.table["drawing"]).isdisjoint(scored.edit.table["drawing"])
    assert {"SR", "GR", "LR", "config"} <= log_fields["tried"][0].keys()
