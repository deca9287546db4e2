"""The command that measures mining prints its numbers and writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.cli import run
from mad import bench
from mad.measures import competition


def test_competition(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PAIRS_QUICK", 5000)
    monkeypatch.setattr(competition, "CHECKED", 2000)
    run(bench.bench_competition, ["--quick", "--json", str(tmp_path)])
    speed = json.loads((tmp_path / "mine-competition.json").read_text())
    assert speed["pairs"] == 5000 and 4900 < speed["disagreements"] < 5000 and 0 < speed["seconds"] < 10
    assert "5,000 predictions" in capsys.readouterr().out
