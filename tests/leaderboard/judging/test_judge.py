"""Runs whose numbers would say nothing, because of their base, are stopped or said to; how weights came is recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.judging import judge as judging
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge, Prediction
from leaderboard.judging.sampling import Settings
from leaderboard.records import record

ONE = Settings(limit=1)


def test_a_base_that_the_tail_does_not_compute_stops_before_any_edit(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.module.register_forward_hook(lambda module, inputs, logits: logits.roll(1, dims=-1))
    with pytest.raises(UserError, match=r"small: \d+ of \d+ predictions differ .* at most 1% may"):
        evaluate(choose("null-edit", "small"), Judge(base, small_benchmark), ONE, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "record.json").exists() and not (tmp_path / "run" / "parts").exists()


@pytest.mark.parametrize(("flips", "stops"), [(0, False), (1, False), (2, True)])
def test_one_in_a_hundred_may_flip(
    base: BaseModel, small_benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, flips: int, stops: bool
) -> None:
    judge = Judge(base, small_benchmark)
    group = len(judge.benchmark.members(judge.benchmark.groups[0]))
    judge.base_locality = judge.base_locality.repeat(20)[: 199 - group]  # 199 images: one is 0.5 %, two are 1.005 %
    same = judge.base_edit[judge.benchmark.members(judge.benchmark.groups[0])].copy()
    other = judge.base_locality.copy()
    other[:flips] += 1
    monkeypatch.setattr(judge, "predict", lambda *_: Prediction(same, other, "tail"))
    if stops:
        with pytest.raises(UserError, match="2 of 199"):
            judge.noise_floor()
    else:
        assert judge.noise_floor() == (flips, 199)


@pytest.mark.parametrize(("right", "warned"), [(5, True), (6, False)])
def test_a_base_that_gets_most_of_d_l_wrong_is_told_so(
    base: BaseModel, small_benchmark: Benchmark, caplog: pytest.LogCaptureFixture, right: int, warned: bool
) -> None:
    predictions = Judge(base, small_benchmark).base_locality
    table = small_benchmark.locality.table.assign(label=[*predictions[:right], *(predictions[right:] + 1) % 1000])
    caplog.clear()
    Judge(base, replace(small_benchmark, locality=replace(small_benchmark.locality, table=table)))
    assert ("its LR says little" in caplog.text) is warned


def test_loading_and_the_precision_of_products_are_recorded_and_no_part_of_the_key(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path
) -> None:
    keys = set()
    for loading in ("", "weights from w.pth"):
        judge = Judge(replace(base, loading=loading), small_benchmark)
        torch.backends.cudnn.allow_tf32 = True
        result = evaluate(choose("null-edit", "small"), judge, ONE, tmp_path / f"run{loading}", progress=False)
        assert result.base.loading == (loading or None)
        assert set(result.environment.float32.values()) == {"ieee"} and torch.backends.cudnn.allow_tf32
        assert record.read(tmp_path / f"run{loading}" / "record.json") == result
        keys.add(result.key)
    assert len(keys) == 1 and judging.NOISE == 0.01
