"""The list of committed runs has every editor, and what is packed is read as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.base import knob_of
from editors.core.registry import built_in, choose
from leaderboard.chain.plan import make_plan
from leaderboard.chain.wishes import Wishes
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records import environment, outcomes
from leaderboard.records.record import read
from tests.records import __main__ as records

ROOT = Path(__file__).parents[2]


def test_every_editor_is_on_the_list_and_swept_if_it_has_a_knob(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    jobs = records.read_jobs()
    words = {job.words[0]: job.words[1:] for job in jobs if job.folder == "mini-1" and not job.missing}
    assert built_in().keys() <= words.keys()
    for spec in words:
        knob = knob_of(choose(spec, "mini").config)
        if spec in built_in():
            assert (knob is not None) == (words[spec] == ["--sweep"]) or any(
                job.words == [spec, "--sweep"] for job in jobs
            ), spec
    assert len({(job.folder, *job.words) for job in jobs}) == len(jobs)
    limited = {job.folder for job in jobs if job.is_limited}
    assert limited == {"mini-1-ablation"}, "all editing samples else"
    steps = make_plan(Wishes(Path("out"), base="mini", data="mini"), only=("figure-J",))
    (step,) = steps.steps
    (pseudo,) = [job.words for job in jobs if job.words[:3] == ["ablation", "--what", "pseudo"]]
    assert {*pseudo} <= {*steps.words(step)[0]}, "what leaderboard.paper runs"


def test_runs_are_packed_with_their_samples_once(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "commit", lambda: ("c0ffee", False))
    judge, made = Judge(base, small_benchmark), tmp_path / "made"
    for spec in ("null-edit", "head-only"):
        evaluate(choose(spec, "small"), judge, Settings(), made, progress=False, below=True)
    with pytest.raises(SystemExit, match="on some samples only"):
        evaluate(choose("ft:max_steps=1", "small"), judge, Settings(limit=1), tmp_path / "few", progress=False)
        records.gather(tmp_path / "few", "c0ffee")
    assert records.gather(made, "another") == []
    records.pack(records.gather(made, "c0ffee"), tmp_path / "results" / "mini-1")
    folders = sorted(path for path in (tmp_path / "results" / "mini-1").iterdir())
    assert [folder.name for folder in folders] == ["head-only", "null-edit"]
    (shared,) = (tmp_path / "results" / "samples").iterdir()
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {"record.json", "run.json", "outcomes.parquet"}
        result = read(folder / "record.json")
        assert outcomes.digest(outcomes.read(folder, result.outcomes.sha256)) == result.outcomes.sha256
        assert shared.stem == result.outcomes.samples_sha256
