"""Outcomes on disk: every value counts in their hash but the times, and parts are joined in the edits' order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import leaderboard
from benchmark.core.readers import Unreadable
from benchmark.data.dataset import Benchmark
from leaderboard.records import outcomes, record
from leaderboard.records.columns import schema_of
from leaderboard.records.samples import find_samples
from tests.conftest import copy_run

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
    outcomes.write_part(folder, 0, outcomes.Part([{**EDIT, **values}]))
    samples.to_parquet(folder / "samples.parquet")
    outcomes.join_parts(folder, 1)
    tables = (pd.read_parquet(folder / f"{name}.parquet") for name in ("samples", "outcomes"))
    return outcomes.Outcomes(*tables)  # unchecked: one value after the other is changed


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
        outcomes.write_part(tmp_path, number, outcomes.Part([{**EDIT, "sample": number}]))
    assert outcomes.parts_done(tmp_path, [[number] for number in range(12)]) == [1] * 11 + [0]
    outcomes.join_parts(tmp_path, 11)
    assert [file.name for file in tmp_path.iterdir()] == ["outcomes.parquet"]
    assert pd.read_parquet(tmp_path / "outcomes.parquet")["sample"].tolist() == list(range(11))
    with pytest.raises(Unreadable, match="no such file"):
        outcomes.join_parts(tmp_path, 1)


RUN = Path(leaderboard.__file__).parent / "results" / "mini-1" / "ft"


def twice(edits: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([edits, edits.iloc[:1]], ignore_index=True)


def first(column: str, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A change of one column's first cell."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{column: [value, *table[column].iloc[1:]]})

    return change


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("samples", first("label", 5000), "label holds 5000, which is no class"),
        ("samples", first("label", -7), "label holds -7, which is no class"),
        ("samples", first("label", 1.5), "label holds double and not int64"),
        ("samples", first("base", 1000), "base holds 1000, which is no class"),
        ("samples", first("label", None), "label holds double|are empty"),
        ("samples", first("split", "train"), "a split that is neither"),
        ("samples", first("group_id", "x"), "with a sample of another|not one an image"),
        ("samples", lambda table: table.iloc[1:], "not one an image|a sample of another|an edit of sample"),
        ("samples", lambda table: table.drop(columns="label"), "lacks the column label"),
        ("outcomes", first("sample", 100_000), "an edit of sample 100000 among"),
        ("outcomes", first("sample", -1), "an edit of sample"),
        ("outcomes", first("group_predictions", [5]), "not one an image"),
        ("outcomes", first("locality_predictions", [5]), "not one an image"),
        ("outcomes", first("group_id", None), "a sample of another"),
        ("outcomes", first("seconds", float("inf")), "a time or number of steps"),
        ("outcomes", first("steps", -1), "a time or number of steps"),
        ("outcomes", twice, "two edits of one sample"),
        ("outcomes", lambda table: table.iloc[:0], "no edit"),
        ("outcomes", first("steps", 77), "other outcomes than those of its record"),
        ("outcomes", lambda table: table.iloc[1:], "other outcomes than those of its record"),
    ],
)
def test_tables_that_no_run_writes_are_refused(
    file: str, change: Callable[[pd.DataFrame], pd.DataFrame], reason: str, tmp_path: Path
) -> None:
    copy_run(RUN, tmp_path / "run")
    written = record.read(RUN / "record.json").outcomes.sha256
    assert len(outcomes.read(tmp_path / "run", written).edits) > 10
    table = pd.read_parquet(find_samples(RUN) if file == "samples" else RUN / "outcomes.parquet")
    changed = pa.Table.from_pandas(change(table), preserve_index=False)
    if file == "outcomes":
        changed = changed.cast(schema_of(changed.column_names))
    pq.write_table(changed, tmp_path / "run" / f"{file}.parquet")
    with pytest.raises(Unreadable, match=reason):
        outcomes.read(tmp_path / "run", written)
