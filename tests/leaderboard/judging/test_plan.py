"""Runs of one command never meet a folder that is not theirs, and what is there of them is known before the first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.plan import planned
from leaderboard.judging.sampling import Settings
from leaderboard.records import record

SOURCE = """
from editors import Editor, WeightEdit

class Mine(Editor):
    def edit(self, model, images, labels):
        return WeightEdit({"head.bias": model.head.bias + GAIN})
"""


@pytest.fixture
def judge(base: BaseModel, small_benchmark: Benchmark) -> Judge:
    return Judge(base, small_benchmark)


def test_runs_that_differ_in_anything_have_folders_of_their_own(judge: Judge, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "mine.py"

    def run(spec: str, settings: Settings, judge: Judge = judge) -> record.Record:
        return evaluate(choose(spec, "small"), judge, settings, out, progress=False, below=True)

    renamed = replace(judge.benchmark, version="another")
    keys = [
        run("null-edit", Settings(limit=1)).key,
        run("null-edit", Settings(limit=2)).key,
        run("null-edit", Settings(limit=1, seed=1)).key,
        run("null-edit", Settings(limit=1), Judge(judge.base, renamed)).key,
    ]
    for gain in (1, 2):
        file.write_text(SOURCE.replace("GAIN", str(gain)))
        keys.append(run(f"{file}:Mine", Settings(limit=1)).key)
    assert len(set(keys)) == len(list(out.iterdir())) == 6
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    assert run("null-edit", Settings(limit=1)).key == keys[0]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.*")} == before, "an identical run is taken as it is"


def test_a_plan_says_what_is_done_goes_on_or_is_new(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "out", Settings(limit=3, edit_batch=1)
    chosen = [choose(spec, "small") for spec in ("null-edit", "ft:lr=0.01,max_steps=1", "ft:lr=0.02,max_steps=1")]
    assert planned(chosen, judge, settings, out) == "3 are new"
    evaluate(chosen[0], judge, settings, out, progress=False, below=True)
    predict, calls = judge.predict_many, []

    def stop_at_the_third_edit(*words: object) -> object:
        calls.append(words)
        if len(calls) == 4:  # the first is the noise floor
            raise KeyboardInterrupt
        return predict(*words)

    monkeypatch.setattr(judge, "predict_many", stop_at_the_third_edit)
    with pytest.raises(KeyboardInterrupt):
        evaluate(chosen[1], judge, settings, out, progress=False, below=True)
    assert planned(chosen, judge, settings, out) == "1 is done, 1 goes on with 2 of 3 edits, 1 is new"
    assert planned(chosen, judge, Settings(limit=2, edit_batch=1), out) == "3 are new"


def test_what_stands_in_the_way_is_said_before_the_first_edit(judge: Judge, tmp_path: Path) -> None:
    chosen, settings, out = [choose("null-edit", "small")], Settings(limit=1), tmp_path / "out"
    evaluate(chosen[0], judge, settings, out, progress=False, below=True)
    (folder,) = out.iterdir()
    (folder / "run.json").rename(folder / "notes.txt")
    with pytest.raises(UserError, match="which no run made"):
        planned(chosen, judge, settings, out)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file"):
        planned(chosen, judge, settings, tmp_path / "file")
