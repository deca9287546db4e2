"""Edits that exchange two classes, on a case worked by hand and as a command."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

import leaderboard
from leaderboard import analyse
from leaderboard.analyses.swaps import count_swaps
from leaderboard.records.outcomes import Outcomes


def test_by_hand() -> None:
    """Edit 0: class 1, was 2. Edit 1: class 3, was 4, and there is no image of 4. D_l: two images of 2, one of 5."""
    samples = pd.DataFrame(
        {
            "split": ["edit", "edit", "locality", "locality", "locality"],
            "label": [1, 3, 2, 2, 5],
            "base": [2, 4, 2, 2, 5],
        }
    )
    edits = pd.DataFrame({"sample": [0, 1], "locality_predictions": [[1, 2, 5], [2, 3, -1]]})
    result = count_swaps(Outcomes(samples, edits))
    assert result.images == 2
    assert result.of_z == 1 / 2  # one of the two went to class 1
    assert result.of_others == 2 / 4  # the 5 under edit 0; under edit 1 one of three
    assert result.exchanged == 2 / 3  # lost: to 1 (its class), to 3 (its class), to nothing
    none = count_swaps(Outcomes(samples.assign(label=[1, 3, 6, 6, 6]), edits))
    assert none.images == 0 and math.isnan(none.of_z)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(leaderboard.__file__).parent / "results" / "mini-1" / "null-edit"
    analyse.swap((run,), out=tmp_path)
    table = pd.read_csv(tmp_path / "swaps.csv")
    assert table[["editor", "of_z", "of_others"]].values.tolist() == [["null-edit", 1.0, 1.0]]
    assert "null-edit" in capsys.readouterr().out
