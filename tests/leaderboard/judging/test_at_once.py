"""The number of edits judged at once: chosen by an imitated clock, kept for resumes and workers; equal outcomes."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.core.workdir import claim
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.base import Editor
from editors.core.edit import Edit, FailedEdit, WeightEdit
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging import at_once
from leaderboard.judging import evaluate as evaluation
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge, Prediction
from leaderboard.judging.run_spec import RUN
from leaderboard.judging.sampling import Settings
from leaderboard.judging.spread import JudgeOnNode
from leaderboard.judging.two_pass import TwoPass
from leaderboard.records import outcomes
from leaderboard.records.record import Record
from tests.leaderboard.judging.test_spread import OneByOne

SPEC = "random-mask:lr=0.01,max_steps=3"
SETTINGS = Settings(edit_batch=16)
EDIT_SECONDS = 0.01


class Clock:
    """In place of `time_at_once`: each edit takes `edit_seconds`, those at once are faster by what comes next."""

    def __init__(self, *gains: float, edit_seconds: float = EDIT_SECONDS) -> None:
        self.gains, self.edit_seconds, self.asked = list(gains), edit_seconds, list[int]()

    def __call__(self, judge: Judge, edits: Sequence[Edit], group_id: str) -> tuple[float, float]:
        self.asked.append(len(edits))
        seconds = self.edit_seconds * len(edits)
        return seconds, seconds / (1 if len(self.asked) < 3 else self.gains.pop(0))


def on_a_gpu(patch: pytest.MonkeyPatch, clock: Clock, most: int = at_once.MOST) -> Clock:
    """Let the CPU pass for a device that one edit does not fill."""
    patch.setattr(at_once, "FULL", frozenset())
    patch.setattr(at_once, "time_at_once", clock)
    patch.setattr(evaluation, "MOST", most)
    return clock


def count_judged(judge: Judge, patch: pytest.MonkeyPatch, stop_at: int = 1000) -> list[int]:
    """The numbers of edits that the judge judges at once; it is interrupted once it has judged so many."""
    predict, sizes = judge.predict_many, list[int]()

    def counted(
        edits: Sequence[Edit], group_id: str, taken_for: Sequence[int] = (), in_one_pass: bool = False
    ) -> list[Prediction]:
        if not in_one_pass:  # that is the noise floor
            if sum(sizes) >= stop_at:
                raise KeyboardInterrupt
            sizes.append(len(edits))
        return predict(edits, group_id, taken_for, in_one_pass)

    patch.setattr(judge, "predict_many", counted)
    return sizes


@pytest.mark.parametrize(
    ("clock", "gain", "asked"),
    [
        (Clock(1.5, 1.3, 1.4), 1.3, [1, 8, 8, 8, 8]),
        (Clock(1.09), 1.09, [1, 8, 8]),
        (Clock(1.5, 1.0), 1.0, [1, 8, 8, 8]),
        (Clock(edit_seconds=0.06), None, [1]),
    ],
    ids=["faster in every turn", "not by a tenth", "not in every turn", "one edit fills the device"],
)
def test_the_gain_is_the_least_of_all_turns(
    clock: Clock, gain: float | None, asked: list[int], judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_gpu(monkeypatch, clock)
    assert at_once.measure_gain(judge, 8) == (gain and pytest.approx(gain))
    assert clock.asked == asked


def test_nothing_is_measured_where_edits_are_judged_alone(
    base: BaseModel, small_benchmark: Benchmark, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(at_once, "time_at_once", clock)
    assert at_once.measure_gain(judge, 8) is None, "on a CPU"
    on_a_gpu(monkeypatch, clock)
    assert at_once.measure_gain(judge, 1) is None, "batches of one edit"
    assert at_once.measure_gain(Judge(base, small_benchmark, two_pass=TwoPass()), 8) is None
    assert clock.asked == []


def test_both_ways_are_timed_with_the_judge_itself(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = count_judged(judge, monkeypatch)
    monkeypatch.setattr(at_once, "FULL", frozenset())
    monkeypatch.setattr(at_once, "LONGEST", 60)
    gain = at_once.measure_gain(judge, 3)
    assert gain is not None and gain > 0
    assert sizes[:2] == [1, 1] and sizes[2:6] == [1, 1, 1, 3] and sizes[6:10] == [1, 1, 1, 3]


def essence(result: Record) -> dict:
    return result.model_dump(exclude={"costs", "created"})


def test_a_run_that_judges_at_once_has_the_record_of_one_by_one(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unhashed
) -> None:
    chosen = choose(SPEC, "small")
    with monkeypatch.context() as patch:
        sizes = count_judged(judge, patch)
        alone = evaluate(chosen, judge, SETTINGS, tmp_path / "one", False)
        assert set(sizes) == {1}
    assert alone.costs.at_once is not None and alone.costs.at_once.model_dump() == {"edits": 1, "gain": None}
    on_a_gpu(monkeypatch, Clock(2.0, 1.5, 2.0), most=2)
    sizes = count_judged(judge, monkeypatch)
    many = evaluate(chosen, judge, SETTINGS, tmp_path / "many", False)
    groups = [len(judge.benchmark.members(group)) for group in judge.benchmark.groups]
    assert sizes == [size for count in groups for size in [2] * (count // 2) + [1] * (count % 2)]
    assert essence(many) == essence(alone), "key and outcomes included"
    assert many.costs.at_once is not None and many.costs.at_once.edits == 2
    assert many.costs.at_once.gain == pytest.approx(1.5)
    note = json.loads((tmp_path / "many" / "run.json").read_text())
    assert note["at_once"] == many.costs.at_once.model_dump()
    assert many.comparable_key() == alone.comparable_key()
    edits = outcomes.read(tmp_path / "many").edits
    assert edits["score_seconds"].iloc[0] == edits["score_seconds"].iloc[1] > 0, "their time is shared equally"


def test_a_resumed_run_takes_the_choice_it_was_begun_with_and_judges_what_is_missing(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unhashed
) -> None:
    chosen, folder = choose(SPEC, "small"), tmp_path / "run"
    whole = evaluate(chosen, judge, SETTINGS, tmp_path / "whole", False)
    with monkeypatch.context() as patch:
        on_a_gpu(patch, Clock(2.0, 2.0, 2.0), most=3)
        sizes = count_judged(judge, patch, stop_at=6)
        with pytest.raises(KeyboardInterrupt):
            evaluate(chosen, judge, SETTINGS, folder, False)
        n_judged = sum(sizes)
    assert outcomes.count_edits(folder) == n_judged
    note = json.loads((folder / "run.json").read_text())
    assert note["at_once"] == {"edits": 3, "gain": pytest.approx(2.0)}
    with monkeypatch.context() as patch:
        clock = on_a_gpu(patch, Clock(1.0), most=3)
        sizes = count_judged(judge, patch)
        result = evaluate(chosen, judge, SETTINGS, folder, False)
    assert sum(sizes) == whole.outcomes.edits - n_judged and max(sizes) == 3
    assert clock.asked == [] and result.outcomes == whole.outcomes


@pytest.mark.parametrize("note", [None, "x", {"edits": 0, "gain": None}, {"edits": 2, "gain": -1}, {"edits": 2}])
def test_a_choice_that_is_none_is_made_again(
    note: object, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_gpu(monkeypatch, Clock(2.0, 2.0, 2.0), most=3)
    claim(tmp_path / "run", RUN, {"key": "k", "facts": {"seed": 0}, "at_once": note})
    for most in (16, 2):  # the first is kept
        assert evaluation._choose_at_once(tmp_path / "run", judge, most).edits == 3
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert kept == {"key": "k", "facts": {"seed": 0}, "at_once": {"edits": 3, "gain": pytest.approx(2.0)}}


class Mixed(Editor):
    """Every third edit has failed; a change of the head for the others, which the last returns as a model."""

    def edit(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Edit:
        raise AssertionError("edit_many is asked")

    def edit_many(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seeds: Sequence[int]) -> list:
        bias = [model.head.bias + torch.nn.functional.one_hot(label[0], 1000) for label in labels]
        edits: list = [WeightEdit({"head.bias": value}) for value in bias]
        edits[::3] = [FailedEdit("no reason")] * len(edits[::3])
        edits[-1] = copy.deepcopy(model)
        edits[-1].register_forward_hook(lambda module, inputs, logits: -logits)
        return edits


def test_edits_of_other_kinds_are_judged_alone_and_in_order(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unhashed
) -> None:
    chosen, settings = ChosenEditor("mixed", Mixed, Mixed.Config()), Settings(edit_batch=16, groups=("line",))
    alone = evaluate(chosen, judge, settings, tmp_path / "one", False)
    on_a_gpu(monkeypatch, Clock(2.0, 2.0, 2.0))
    sizes = count_judged(judge, monkeypatch)
    many = evaluate(chosen, judge, settings, tmp_path / "many", False)
    assert sizes == [1, 2, 1, 1] and alone.outcomes.failed == 2 and alone.outcomes.called == 1
    assert essence(many) == essence(alone)


def test_workers_take_the_choice_of_the_driver(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unhashed
) -> None:
    chosen, worker = choose(SPEC, "small"), Judge(judge.base, judge.benchmark)
    clock = on_a_gpu(monkeypatch, Clock(2.0, 2.0, 2.0), most=4)
    here, there = count_judged(judge, monkeypatch), count_judged(worker, monkeypatch)
    cluster = OneByOne(JudgeOnNode(worker, None))
    result = evaluate(chosen, judge, SETTINGS, tmp_path / "run", False, cluster=cluster)
    assert here == [] and max(there) == 4 and sum(there) == result.outcomes.edits
    assert clock.asked == [1, 4, 4, 4, 4] and result.costs.at_once is not None and result.costs.at_once.edits == 4
