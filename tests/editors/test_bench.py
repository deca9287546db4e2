"""The commands that measure editing and meta-training print a ratio and write their numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.cli import run
from benchmark.models.load import BaseModel
from editors import bench
from editors.measures import editing, metatraining
from tests.conftest import small_vit


def test_editing_prints_a_ratio_and_keeps_the_numbers(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(editing, "random_base", lambda *_, **__: base)
    monkeypatch.setattr(editing, "stop_rule_check", lambda: editing.Distances(0.0, 0.0, (1, 2)))
    monkeypatch.setattr(editing, "matmul_ceiling", lambda _: 1e9)
    run(bench.main, ["--base", "mini", "--quick", "--json", str(tmp_path)])
    assert "edit: " in capsys.readouterr().out
    result = json.loads((tmp_path / "edit-mini-cpu.json").read_text())
    assert result["at_once"] == 32 and result["float32"]["steps"] == [5] * 32 and result["speed"]["ours"]["median"] > 0


def test_metatraining_prints_a_ratio_and_a_projection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metatraining, "lively_base", lambda *_, **settings: small_vit(dtype=settings.get("dtype")))
    monkeypatch.setattr(metatraining, "edits_at_once", lambda *_: 2)
    monkeypatch.setattr(metatraining, "matmul_ceiling", lambda _: 1e9)
    monkeypatch.setattr(metatraining.Case, "distances", lambda self: self.start.abs() * 1e-9)
    run(bench.main, ["metatrain", "--base", "mini", "--quick", "--json", str(tmp_path)])
    result = json.loads((tmp_path / "metatrain-mini-cpu.json").read_text())
    printed = capsys.readouterr().out
    assert (
        f"metatrain: {result['speed']['ratio']:.1f}x" in printed
        if "ratio" in result["speed"]
        else "metatrain: " in printed
    )
    assert f"projected: {result['hours']:.2f} h for 7,000 iterations of batch 8 of mini" in printed
    assert result["speed"]["count"] == 2 and result["fit_seconds"] > 0
