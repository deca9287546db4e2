"""The commands that make the mini again, with a few drawings that need no package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark import rebuild
from benchmark.core.cli import run
from benchmark.mini import emoji
from benchmark.models.load import load_base


@pytest.fixture(autouse=True)
def drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing of noise a style instead of the packages' drawings."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(emoji.STYLES), 80, 80, 4), dtype=np.uint8)
    few = [emoji.Drawing(style, "icon", number, "A") for number, style in enumerate(emoji.STYLES)]
    monkeypatch.setattr(emoji, "render", lambda cache, side=80: (few, pixels))


def test_a_model_is_trained_and_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(rebuild.main, ["models", "--which", "mini", "--out", str(tmp_path / "tiny"), "--iterations", "1"])
    printed = capsys.readouterr()
    record = json.loads((tmp_path / "tiny/training.json").read_text())
    assert json.loads(printed.out) == record["accuracy_on_new_views"] and record["recipe"]["steps"] == 1
    assert "note: mini: 3 drawings, 3 classes, 1 steps\n" in printed.err
    assert load_base(str(tmp_path / "tiny")).module.head.out_features == 1000


def test_the_pool_is_drawn_before_it_is_mined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["drawings", "--work", str(tmp_path / "work")]
    with pytest.raises(SystemExit) as stop:
        run(rebuild.main, [*words, "--step", "assemble"])
    assert stop.value.code == 2 and "run the step `pool` first" in capsys.readouterr().err
    run(rebuild.main, [*words, "--step", "pool"])
    shift = len(emoji.SHIFT_STYLES)
    assert f"{16 * shift} views of {shift} drawings" in capsys.readouterr().out  # 12 plain and 4 wide views of each
    assert len(list((tmp_path / "work/pool").rglob("*.webp"))) == 16 * shift
    with pytest.raises(SystemExit):
        run(rebuild.main, [*words, "--step", "assemble", "--out", str(tmp_path / "assets")])
    assert "predictions.parquet is missing" in capsys.readouterr().err and not (tmp_path / "assets").exists()
