"""Outcomes on disk: every value counts in their hash but the times, and parts are joined in the edits' order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.data.dataset import Benchmark
from leaderboard.records import outcomes

EDIT = {
    "sample": 0,
    "partners": [1],
    "group_id": "1-2",
    "steps": 3,
    "seconds": 0.5,
    "score_seconds": 0.25,
    "failure": None,
    "scored": "tail",
    "group_predictions": [5, 6],
    "locality_predictions": [7],
}
OTHER = {
    "sample": 2,
    "partners": [0],
    "group_id": "3-4",
    "steps": 4,
    "failure": "NaN",
    "scored": "called",
    "group_predictions": [5, 7],
    "locality_predictions": [8],
}


def run_of(folder: Path, samples: pd.DataFrame, **values: Any) -> outcomes.Outcomes:
    """A run of one edit, written and read."""
    outcomes.write_part(folder, 0, [{**EDIT, **values}])
    samples.to_parquet(folder / "samples.parquet")
    outcomes.join_parts(folder, 1)
    return outcomes.read(folder)


def test_the_table_of_samples_says_what_the_base_predicts_and_what_each_image_is_a_view_of(
    small_benchmark: Benchmark,
) -> None:
    edit, locality = small_benchmark.edit, small_benchmark.locality
    table = outcomes.sample_table(small_benchmark, np.arange(len(edit)), 100 + np.arange(len(locality)))
    assert table["split"].tolist() == ["edit"] * 13 + ["locality"] * 12
    assert table["base"].tolist() == [*range(13), *range(100, 112)]
    for column in ("sha256", "label", "group_id", "subset", "drawing"):
        assert table[column].fillna("").tolist() == [
            *edit.table[column].fillna(""),
            *locality.table[column].fillna(""),
        ], column


def test_every_value_but_the_times_counts_in_the_hash(small_benchmark: Benchmark, tmp_path: Path) -> None:
    samples = outcomes.sample_table(small_benchmark, np.arange(13), np.arange(12))
    digest = outcomes.digest(run_of(tmp_path, samples))
    assert outcomes.digest(run_of(tmp_path, samples)) == digest
    assert outcomes.digest(run_of(tmp_path, samples, seconds=9.0, score_seconds=9.0)) == digest
    others = {outcomes.digest(run_of(tmp_path, samples, **{name: value})) for name, value in OTHER.items()}
    for column in samples.columns:
        backwards = samples.assign(**{column: samples[column].iloc[::-1].to_numpy()})
        others.add(outcomes.digest(run_of(tmp_path, backwards)))
    assert len(others) == len(OTHER) + len(samples.columns) and digest not in others
    assert {*OTHER, *outcomes.TIMES} == EDIT.keys()


def test_parts_are_joined_in_the_order_of_their_numbers_and_go(tmp_path: Path) -> None:
    for number in (10, 2, 0, 1, *range(3, 10)):
        outcomes.write_part(tmp_path, number, [{**EDIT, "sample": number}])
    assert outcomes.parts_done(tmp_path) == set(range(11))
    outcomes.join_parts(tmp_path, 11)
    assert [file.name for file in tmp_path.iterdir()] == ["outcomes.parquet"]
    assert pd.read_parquet(tmp_path / "outcomes.parquet")["sample"].tolist() == list(range(11))
    with pytest.raises(FileNotFoundError):
        outcomes.join_parts(tmp_path, 1)
