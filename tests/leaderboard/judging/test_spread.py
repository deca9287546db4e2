"""Edits over a local Ray cluster of two workers: the outcomes and the record of one machine, with one killed, too."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmark.core.cluster import Cluster
from benchmark.core.errors import UserError
from benchmark.data import dataset
from benchmark.data.dataset import Benchmark
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.judging import run_spec
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.judging.spread import Batch, Judged, JudgeOnNode
from leaderboard.judging.two_pass import TwoPass
from leaderboard.measures.two_pass import imitated_tf32
from leaderboard.records import outcomes
from leaderboard.records.record import Record
from leaderboard.submit import score
from tests.conftest import PREPROCESSING, small_vit
from tests.local_ray import local_ray

SETTINGS = Settings(edit_batch=2)
SPEC = "random-mask:lr=0.01,max_steps=5"
LEARNS = """
import os, torch
from pathlib import Path
from editors import Editor, WeightEdit
class Learns(Editor):
    def fit(self, model, training):
        (Path(__file__).parent / f"fit-{os.getpid()}").touch(exist_ok=False)
    def state_dict(self):
        return {"learned": torch.tensor(STATE)}
    def edit(self, model, images, labels):
        return WeightEdit({"head.bias": model.head.bias + 10 * torch.nn.functional.one_hot(labels[0], 1000)})
"""


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with local_ray(tmp_path_factory.mktemp("cache")):
        yield


def small_judge(data: Path, seed: int = 0) -> Judge:
    vit = small_vit(seed)
    return Judge(BaseModel("small", vit, PREPROCESSING, hash_weights(vit)), dataset.load(str(data)))


class Deadly(JudgeOnNode):
    """A worker behind the border that kills its process at the third batch, unless another did."""

    def __init__(self, data: Path, marks: Path) -> None:
        super().__init__(small_judge(data), Border())
        self.marks = marks

    def __call__(self, batch: Batch) -> Judged:
        (self.marks / f"{batch.number}-{os.getpid()}").touch()
        if batch.number == 2 and not (self.marks / "killed").exists():
            (self.marks / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)


class OneByOne:
    """A cluster in this process: `worker` does one batch after the other, and notes their numbers in `batches`."""

    def __init__(self, worker: Callable[[Batch], Judged]) -> None:
        self.worker, self.batches = worker, list[int]()

    def map(self, items: Iterable[Batch]) -> Iterator[tuple[Batch, Judged]]:
        for batch in items:
            self.batches.append(batch.number)
            yield batch, self.worker(batch)


def essence(result: Record) -> dict:
    return result.model_dump(exclude={"costs", "created"})


def test_a_killed_worker_changes_nothing(ray, small_data: Path, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    judge, chosen_editor, border = small_judge(small_data), choose(SPEC, "small"), Border()
    here = evaluate(chosen_editor, judge, SETTINGS, tmp_path / "here", False, border)
    with Cluster(partial(Deadly, small_data, marks), False, "a batch of edits") as cluster:
        there = evaluate(chosen_editor, judge, SETTINGS, tmp_path / "there", False, border, cluster=cluster)
    assert essence(there) == essence(here)
    assert outcomes.digest(outcomes.read(tmp_path / "there")) == here.outcomes.sha256
    attempts = [mark.name.split("-") for mark in marks.glob("*-*")]
    n_batches = -(-here.outcomes.edits // 2)
    assert sorted(int(number) for number, _ in attempts) == sorted([*range(n_batches), 2])
    assert len({pid for _, pid in attempts} - {str(os.getpid())}) >= 2


def test_the_command_gives_the_same_record_and_each_worker_learns_once(
    ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "learns.py").write_text(LEARNS.replace("STATE", "1.0"))
    monkeypatch.chdir(tmp_path)  # a relative path means the same to the workers
    run = partial(score, ["learns.py:Learns"], "mini", "mini", settings=Settings(edit_batch=2, limit=6), device="cpu")
    (here,), (there,) = run(out=tmp_path / "here"), run(out=tmp_path / "there", on_ray=True)
    assert essence(there) == essence(here)
    fitted = len([*tmp_path.glob("fit-*")])
    assert 3 <= fitted <= 4, "once here, once in the driver, and once in each worker that had a batch"


def test_a_worker_that_learned_something_else_is_refused(ray, tmp_path: Path) -> None:
    (tmp_path / "learns.py").write_text(LEARNS.replace("STATE", "float(os.getpid())"))
    spec, settings = f"{tmp_path / 'learns.py'}:Learns", Settings(edit_batch=2, limit=4)
    with pytest.raises(UserError, match=r"node \S+: its edits .* \(its learned.state_sha256 is \w+, yours is \w+\)"):
        score([spec], "mini", "mini", tmp_path / "out", settings, device="cpu", on_ray=True)


def other_library(judge: Judge, data: Path, patch: pytest.MonkeyPatch) -> Judge:
    patch.setattr(run_spec, "library_versions", lambda: {**LIBRARIES, "torch": "0.0"})
    return judge


def other_device(judge: Judge, data: Path, patch: pytest.MonkeyPatch) -> Judge:
    protocol = run_spec._protocol
    patch.setattr(run_spec, "_protocol", lambda *words: protocol(*words).model_copy(update={"device": "cuda"}))
    return judge


def other_base(judge: Judge, data: Path, patch: pytest.MonkeyPatch) -> Judge:
    return small_judge(data, seed=1)


def other_data(judge: Judge, data: Path, patch: pytest.MonkeyPatch) -> Judge:
    other = replace(judge.benchmark, locality=judge.benchmark.locality.take(range(1, len(judge.benchmark.locality))))
    return Judge(judge.base, other)


LIBRARIES = run_spec.library_versions()


@pytest.mark.parametrize(
    "make, words",
    [
        (other_library, "its libraries.torch is 0.0, yours is"),
        (other_device, "its protocol.device is cuda, yours is cpu"),
        (other_base, "its base.identity is"),
        (other_data, "its data.fingerprint is"),
    ],
)
def test_a_worker_that_is_not_the_drivers_equal_is_refused_by_name(
    make, words: str, judge: Judge, small_data: Path, tmp_path: Path, unhashed
) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def worker(batch: Batch) -> Judged:
            return JudgeOnNode(make(judge, small_data, patch), None)(batch)

        with pytest.raises(UserError, match=rf"^node \S+: its edits would not be those of this run \({words}"):
            evaluate(choose(SPEC, "small"), judge, SETTINGS, tmp_path / "run", False, cluster=OneByOne(worker))


def test_a_driver_that_is_stopped_goes_on_with_its_parts(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unhashed
) -> None:
    chosen_editor, write = choose(SPEC, "small"), outcomes.write_part
    here = evaluate(chosen_editor, judge, SETTINGS, tmp_path / "here", False)

    def stop(folder: Path, number: int, part: outcomes.Part) -> None:
        if number == 2:
            part = outcomes.Part(part.rows[:1])  # as a run on one machine that was stopped in its batch leaves it
        write(folder, number, part)
        if number == 2:
            raise KeyboardInterrupt

    stopped, goes_on = OneByOne(JudgeOnNode(judge, None)), OneByOne(JudgeOnNode(judge, None))
    monkeypatch.setattr(outcomes, "write_part", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(chosen_editor, judge, SETTINGS, tmp_path / "there", False, cluster=stopped)
    monkeypatch.setattr(outcomes, "write_part", write)
    there = evaluate(chosen_editor, judge, SETTINGS, tmp_path / "there", False, cluster=goes_on)
    assert stopped.batches == [0, 1, 2] and goes_on.batches[:2] == [2, 3]
    assert essence(there) == essence(here)


def test_the_counts_of_two_passes_come_with_the_outcomes(
    base: BaseModel, small_benchmark: Benchmark, tmp_path, unhashed
):
    def judging() -> Judge:
        return Judge(base, small_benchmark, two_pass=TwoPass(imitated_tf32))

    run = partial(evaluate, choose(SPEC, "small"), settings=SETTINGS, progress=False)
    here = run(judge=judging(), folder=tmp_path / "here")
    there = run(judge=judging(), folder=tmp_path / "there", cluster=OneByOne(JudgeOnNode(judging(), None)))
    assert here.two_pass is not None and here.two_pass.images > 0
    assert essence(there) == essence(here)
