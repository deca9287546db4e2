"""The figures of `mad.bench`, small: they come out, are checked, and memory stays where it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.cli import run
from benchmark.predict import parts
from mad import bench
from mad.mining import measures


def test_competition(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PAIRS_QUICK", 5000)
    monkeypatch.setattr(measures, "CHECKED", 2000)
    run(bench.bench_competition, ["--quick", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["pairs"] == 5000 and 4900 < found["disagreements"] < 5000 and 0 < found["seconds"] < 10
    assert "5,000 predictions" in capsys.readouterr().out


def test_competition_notices_another_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "CHECKED", 500)
    monkeypatch.setattr(measures, "plain_order", lambda predictions, rules: predictions["image"].tolist())
    with pytest.raises(AssertionError, match="ranks otherwise"):
        measures.competition(10)


def test_prediction_says_the_same_as_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "PHOTO_SIZE", (640, 480))
    found = measures.prediction("mini", images=6, repeats=1)
    assert found.apart <= 1e-6 and found.images == 6 and found.ratio > 0
    assert found.ours.median > 0 and found.draft.median > 0


def test_prediction_notices_another_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "PHOTO_SIZE", (320, 240))
    monkeypatch.setattr(measures, "plain_predict", lambda *_: [p.roll(1, -1) for p in plain(*_)])
    with pytest.raises(AssertionError, match="says something else"):
        measures.prediction("mini", images=6, repeats=1)


plain = measures.plain_predict


def test_memory_does_not_grow_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 decoded images would be 36 MB a model; what is kept of them is far below a megabyte."""
    kept, table = 0, parts.table

    def counted(*arguments):
        nonlocal kept
        found = table(*arguments)
        kept += found.nbytes
        return found

    monkeypatch.setattr(parts, "table", counted)
    found = measures.memory(3000)
    assert 0 < kept < 3000 * 2 * 64
    assert found.peak_gib >= found.start_gib > 0.1


def test_photos_are_as_large_as_photographs(tmp_path: Path) -> None:
    measures.write_photos(tmp_path, 2)
    for file in sorted(tmp_path.iterdir()):
        assert 3e5 < file.stat().st_size < 3e6
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 2
    assert np.isfinite(measures.memory_gib("VmHWM"))
