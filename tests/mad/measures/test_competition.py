"""The competition is measured only when a plain loop ranks the same."""

from __future__ import annotations

import pytest

from mad.measures import competition


def test_competition_notices_another_ranking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(competition, "CHECKED", 500)
    monkeypatch.setattr(competition, "rank_plainly", lambda predictions, config: predictions["image"].tolist())
    with pytest.raises(AssertionError, match="ranks otherwise"):
        competition.measure_competition(10)
