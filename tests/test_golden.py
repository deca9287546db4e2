"""The golden run comes out as it was committed (equal as DESIGN.md defines it)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tests.golden import run as golden

CLOSE = 1e-4  # a top-2 margin below which another machine may decide otherwise (DESIGN, "How it is judged")


def test_edits_and_their_predictions(tmp_path: Path) -> None:
    golden.run_edits(tmp_path)
    committed, made = pd.read_parquet(golden.HERE / "edits.parquet"), golden.read_outcomes(tmp_path)
    for name in ("editor", "sha256", "steps", "failure", "scored"):
        assert made[name].tolist() == committed[name].tolist(), name
    for before, now in zip(committed.itertuples(), made.itertuples(), strict=True):
        clear = np.array(before.margins) > CLOSE
        assert clear.mean() > 0.99
        assert (np.array(now.predictions) == before.predictions)[clear].all(), before.editor


def test_a_search(tmp_path: Path) -> None:
    golden.run_search(tmp_path / "out", tmp_path)
    committed = pd.read_parquet(golden.HERE / "search-predictions.parquet")
    made = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert list(made) == list(committed)
    clear = committed[["base_margin", "strong_margin"]].min(axis=1) > CLOSE
    assert clear.all(), "then the tables below hang on no rounding"
    pd.testing.assert_frame_equal(made, committed, rtol=1e-3, atol=1e-5)
    for file in ("ranking.csv", "groups.csv", "membership.csv"):
        pd.testing.assert_frame_equal(
            pd.read_csv(tmp_path / "out" / file), pd.read_csv(golden.HERE / f"search-{file}"), rtol=1e-3, atol=1e-5
        )


def test_a_build(tmp_path: Path) -> None:
    golden.run_build(tmp_path / "out", tmp_path)
    build_notes = json.loads((tmp_path / "out" / "build.json").read_text())
    assert build_notes == json.loads((golden.HERE / "build.json").read_text())
    assert golden.table_of(tmp_path / "out") == (golden.HERE / "build.jsonl").read_text()
