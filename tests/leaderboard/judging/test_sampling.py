"""Samples that are edited together, and the scores of a run with several samples an edit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings, chosen_samples, edit_seed, with_partners
from leaderboard.records import outcomes


def company(benchmark: Benchmark, count: int, **settings) -> np.ndarray:
    chosen = Settings(samples_per_edit=count, **settings)
    return with_partners(benchmark, chosen_samples(benchmark, chosen), chosen)


def test_partners_come_from_the_group_new_drawings_first(small_benchmark: Benchmark) -> None:
    table, three = small_benchmark.edit.table, company(small_benchmark, 3)
    assert three.shape == (len(table), 3)
    assert three[:, 0].tolist() == list(range(len(table)))
    for row in three:
        group = table["group_id"].iloc[row[0]]
        members = small_benchmark.members(group)
        assert set(row) <= set(members)
        assert len(set(row)) == min(3, len(members))
        drawings = table["drawing"].iloc[row]
        assert drawings.nunique() == min(3, table["drawing"].iloc[members].nunique())


def test_partners_depend_on_the_seed_alone_and_nest(small_benchmark: Benchmark) -> None:
    three = company(small_benchmark, 3)
    assert np.array_equal(three[:, :2], company(small_benchmark, 2))
    assert np.array_equal(three[:, :1], company(small_benchmark, 1))
    drawn = company(small_benchmark, 3, limit=5)
    assert np.array_equal(drawn, three[drawn[:, 0]])
    assert not np.array_equal(three, company(small_benchmark, 3, seed=1))


def test_a_run_names_the_samples_it_edited_on_and_edits_on_all(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path
) -> None:
    judge = Judge(base, small_benchmark)
    settings, chosen = Settings(samples_per_edit=2), choose("random-mask:lr=0.002,max_steps=3", "small")
    record = evaluate(chosen, judge, settings, tmp_path / "run", progress=False)
    assert record.protocol.samples_per_edit == 2
    edits = outcomes.read(tmp_path / "run").edits
    rows = with_partners(judge.benchmark, chosen_samples(judge.benchmark, settings), settings)
    assert [[sample, *more] for sample, more in zip(edits["sample"], edits["partners"], strict=True)] == rows.tolist()
    samples, row = judge.benchmark.edit, rows[0]
    edit = chosen.make().edit_many(
        base.module,
        samples.images(base.preprocessing, row.tolist())[None],
        torch.as_tensor(samples.labels[row])[None],
        [edit_seed(0, samples.table["sha256"].iloc[row[0]])],
    )[0]
    assert np.array_equal(judge.predict(edit, edits["group_id"].iloc[0])[1], edits["locality_predictions"].iloc[0])
    alone = evaluate(chosen, judge, Settings(), tmp_path / "alone", progress=False)
    assert alone.key != record.key


def test_drawings_fall_back_on_the_image_itself(small_benchmark: Benchmark) -> None:
    table = small_benchmark.edit.table
    table.loc[0, "drawing"] = None
    assert small_benchmark.edit.drawings.iloc[0] == table["sha256"].iloc[0]
    del table["drawing"]
    assert small_benchmark.edit.drawings.nunique() == len(table)
    assert company(small_benchmark, 2).shape == (len(table), 2)


@pytest.mark.parametrize("count", [1, 3])
def test_a_group_of_one_gives_its_sample_again(small_benchmark: Benchmark, count: int) -> None:
    row = int(small_benchmark.members("5-6")[0])
    assert company(small_benchmark, count, groups=("5-6",)).tolist() == [[row] * count]
