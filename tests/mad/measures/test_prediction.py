"""Prediction is measured only when a plain loop predicts the same, on files as large as photographs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mad.measures import prediction

plain = prediction.plain_predict


def test_prediction_says_the_same_as_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "PHOTO_SIZE", (640, 480))
    found = prediction.measure_prediction("mini", images=6, repeats=1)
    assert found.apart <= 1e-6 and found.images == 6 and found.ratio > 0
    assert found.ours.median > 0 and found.draft.median > 0


def test_prediction_notices_another_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "PHOTO_SIZE", (320, 240))
    monkeypatch.setattr(prediction, "plain_predict", lambda *_: [p.roll(1, -1) for p in plain(*_)])
    with pytest.raises(AssertionError, match="says something else"):
        prediction.measure_prediction("mini", images=6, repeats=1)


def test_photos_are_as_large_as_photographs(tmp_path: Path) -> None:
    prediction.write_photos(tmp_path, 2)
    for file in sorted(tmp_path.iterdir()):
        assert 3e5 < file.stat().st_size < 3e6
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 2
