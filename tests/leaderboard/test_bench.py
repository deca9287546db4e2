"""The command that measures scoring prints a ratio and writes its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.models.load import BaseModel
from leaderboard import bench
from leaderboard.measures import scoring


def test_the_command_prints_a_ratio_and_keeps_the_numbers(
    base: BaseModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "random_base", lambda *_, **__: base)
    monkeypatch.setattr(scoring, "matmul_ceiling", lambda _: 1e9)
    bench.score("mini", quick=True, limit=40, json=tmp_path)
    printed = capsys.readouterr().out
    assert "score: " in printed and "8 edits at once, 5 images: " in printed
    kept = json.loads((tmp_path / "score-mini-cpu.json").read_text())
    assert kept["at_once_images"] == 40 // 8 and kept["at_once"] > 0
    assert kept["images"] == 40 and kept["speed"]["plain_flops"] > 2 * kept["speed"]["ours_flops"]
