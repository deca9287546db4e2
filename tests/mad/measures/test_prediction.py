"""Prediction is measured only when a plain loop predicts the same, on files as large as photographs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mad.measures import prediction

plain = prediction.predict_plainly


def test_prediction_equals_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "PHOTO_SIZE", (640, 480))
    speed = prediction.measure_prediction("mini", images=6, repeats=1)
    assert speed.apart <= 1e-6 and speed.images == 6 and speed.ratio > 0
    assert speed.ours.median > 0 and speed.draft.median > 0


def test_prediction_notices_another_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "PHOTO_SIZE", (320, 240))
    monkeypatch.setattr(prediction, "predict_plainly", lambda *_: [p.roll(1, -1) for p in plain(*_)])
    with pytest.raises(AssertionError, match="predicts otherwise"):
        prediction.measure_prediction("mini", images=6, repeats=1)


def test_photos_are_as_large_as_photographs(tmp_path: Path) -> None:
    prediction.write_photos(tmp_path, 2)
    for file in sorted(tmp_path.iterdir()):
        assert 3e5 < file.stat().st_size < 3e6
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 2
