"""The command that measures generation prints images an hour and writes its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.cli import run
from generation import bench


def test_it_prints_and_writes_what_it_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--quick", "--limit", "3", "--steps", "2", "--batch-size", "2"]
    run(bench.main, [*words, "--json", str(tmp_path)])
    speed = json.loads((tmp_path / "generate-tiny-cpu.json").read_text())
    assert (speed["images"], speed["batch_size"], speed["pixels"], speed["saved"]) == (3, 2, 16, 16)
    assert speed["precision"] == "float32" and speed["farthest"] <= 1 and speed["distinct"] > 2
    printed = capsys.readouterr().out
    assert f"{3600 * 3 / speed['ours']['median']:,.0f} images/h" in printed
    assert f"{speed['plain']['median'] / speed['ours']['median']:.2f}x" in printed and speed["device"] in printed
