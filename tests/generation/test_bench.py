"""The command that measures generation prints images an hour and writes its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.cli import run
from generation import bench


def test_it_prints_and_writes_what_it_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--size", "tiny", "--images", "3", "--steps", "2", "--batch-size", "2", "--repeats", "1"]
    run(bench.main, [*words, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["images"], found["batch_size"], found["pixels"], found["saved"]) == (3, 2, 16, 16)
    assert found["precision"] == "float32" and found["farthest"] <= 1 and found["distinct"] > 2
    printed = capsys.readouterr().out
    assert f"{3600 * 3 / found['ours']['median']:,.0f} images/h" in printed
    assert f"{found['plain']['median'] / found['ours']['median']:.2f}x" in printed and found["device"] in printed
