"""A run that is killed goes on to the record of an uninterrupted one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn
from tqdm import tqdm

from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.base import Editor
from editors.core.edit import Edit, WeightEdit
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging import evaluate as evaluation
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge, Prediction
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes, record

RUN = """
import sys, time
from pathlib import Path
from benchmark.data.dataset import load
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.records import outcomes
from leaderboard.judging import evaluate as evaluation
from leaderboard.judging.evaluate import Settings, evaluate
from leaderboard.judging.judge import Judge
from tests.conftest import PREPROCESSING, small_vit
data, folder, pause = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
write = outcomes.write_part
def slowly(*arguments):
    write(*arguments); print("part", flush=True); time.sleep(pause)
outcomes.write_part = slowly
evaluation.SAVE_EVERY = 1e9
vit = small_vit()
judge = Judge(BaseModel("small", vit, PREPROCESSING, hash_weights(vit)), load(data))
evaluate(choose("random-mask:lr=0.01,max_steps=5", "small"), judge, Settings(edit_batch=2), folder, progress=False)
"""


def test_kill_in_the_middle_and_resume_gives_the_same_record(small_data: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]

    def start(folder: str, pause: float) -> subprocess.Popen:
        words = [sys.executable, "-c", RUN, str(small_data), str(tmp_path / folder), str(pause)]
        return subprocess.Popen(words, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE)

    killed = start("killed", pause=60)
    assert killed.stdout is not None and killed.stdout.readline() == b"part\n"
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "record.json").exists()
    (kept,) = (tmp_path / "killed" / "parts").glob("0*.parquet")
    part = pq.read_table(kept)  # marked by its seconds, on which no score and no hash depends
    seconds = part.column_names.index("seconds")
    pq.write_table(part.set_column(seconds, part.field(seconds), pa.array([12345.0] * len(part))), kept)
    resumed, whole = start("killed", pause=0), start("whole", pause=0)
    parts = resumed.communicate()[0].count(b"part"), whole.communicate()[0].count(b"part")
    assert resumed.returncode == whole.returncode == 0
    assert parts[0] == parts[1] - 1, "the part that was on disk is not made again"
    marked = outcomes.read(tmp_path / "killed").edits["seconds"] == 12345
    assert marked.tolist() == [True] * len(part) + [False] * (len(marked) - len(part)), "but taken as it is"
    records = [json.loads((tmp_path / name / "record.json").read_text()) for name in ("killed", "whole")]
    for result in records:
        del result["costs"], result["created"]
    assert records[0] == records[1]


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40] + bytes(40))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def double(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table]), file)


def change(file: Path) -> None:
    table = pq.read_table(file)
    steps = table.column_names.index("steps")
    pq.write_table(table.set_column(steps, table.field(steps), pa.array([7] * len(table), pa.int32())), file)


def swap(file: Path) -> None:
    """The outcomes of another batch, whole in themselves."""
    other = file.with_name("000001.parquet")
    if other.exists():
        file.write_bytes(other.read_bytes())
    else:
        pq.write_table(pq.read_table(file).slice(1), file)


def without_times(result: record.Record) -> dict[str, Any]:
    return result.model_dump(exclude={"created", "costs", "environment"})


@pytest.mark.parametrize("spoil", [damage, cut, double, change, swap])
@pytest.mark.parametrize("name", ["outcomes.parquet", "parts/000000.parquet"])
def test_outcomes_that_are_not_as_they_were_written_are_made_again(
    name: str, spoil: Callable[[Path], None], base: BaseModel, small_benchmark: Benchmark, tmp_path: Path
) -> None:
    judge, folder = Judge(base, small_benchmark), tmp_path / "run"
    chosen = choose("random-mask:lr=0.01,max_steps=3", "small")

    def run(folder: Path) -> record.Record:
        return evaluate(chosen, judge, Settings(edit_batch=2, limit=4), folder, progress=False)

    if name.startswith("parts"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(outcomes, "join_parts", raise_interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(folder)
    else:
        run(folder)
        (folder / "record.json").unlink()
    spoil(folder / name)
    assert without_times(run(folder)) == without_times(run(tmp_path / "whole"))
    assert sorted(path.name for path in folder.iterdir()) == [
        "outcomes.parquet", "record.json", "run.json", "samples.parquet",
    ]  # fmt: skip


def stop_after(judge: Judge, count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Interrupt the judge after so many edited models; the list grows by the group of each that it judged."""
    predict, judged_groups = judge.predict_many, list[str]()

    def predict_or_stop(edits: Sequence[Edit], group_id: str, taken_for: Sequence[int]) -> list[Prediction]:
        if len(judged_groups) >= count:
            raise KeyboardInterrupt
        judged_groups.extend([group_id] * len(edits))
        return predict(edits, group_id, taken_for)

    monkeypatch.setattr(judge, "predict_many", predict_or_stop)
    monkeypatch.setattr(judge, "noise_floor", lambda: (0, 1))
    return judged_groups


class OneByOne(Editor):
    edited: ClassVar[list[int]] = []

    def edit(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> WeightEdit:
        self.edited.append(int(labels[0]))
        return WeightEdit({"head.bias": torch.randn_like(model.head.bias)})


@pytest.mark.parametrize("at_once", [True, False])
def test_a_stop_in_the_middle_of_a_batch_loses_no_edit_that_was_judged(
    at_once: bool, base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ChosenEditor("one-by-one", OneByOne, OneByOne.Config())
    if at_once:
        chosen = choose("random-mask:lr=0.01,max_steps=3", "small")
    judge, settings = Judge(base, small_benchmark), Settings(edit_batch=4, limit=8)

    def run(folder: str) -> record.Record:
        return evaluate(chosen, judge, settings, tmp_path / folder, progress=False)

    with monkeypatch.context() as patch:
        assert len(stop_after(judge, 6, patch)) == 0
        with pytest.raises(KeyboardInterrupt):
            run("stopped")
    sizes = [len(pq.read_table(part)) for part in sorted((tmp_path / "stopped" / "parts").iterdir())]
    assert sizes == [4, 2]
    OneByOne.edited.clear()
    with monkeypatch.context() as patch:
        judged_groups = stop_after(judge, 100, patch)
        resumed = run("stopped")
        assert len(judged_groups) == 2, "two of eight were missing"
        assert at_once or len(OneByOne.edited) == 2
        assert without_times(resumed) == without_times(run("whole"))


def test_edits_are_written_when_a_batch_takes_long(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "SAVE_EVERY", 0.0)
    write, sizes = outcomes.write_part, []
    monkeypatch.setattr(outcomes, "write_part", lambda *words: (sizes.append(len(words[2].rows)), write(*words)))
    chosen = choose("random-mask:lr=0.01,max_steps=1", "small")
    evaluate(chosen, Judge(base, small_benchmark), Settings(edit_batch=3, limit=3), tmp_path / "run", progress=False)
    assert sizes == [1, 2, 3, 3]


def test_the_bar_moves_with_every_edit(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = []

    class Bar(tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            moves.append(n)
            return super().update(n)

    monkeypatch.setattr(evaluation, "tqdm", Bar)
    chosen = choose("random-mask:lr=0.01,max_steps=1", "small")
    evaluate(chosen, Judge(base, small_benchmark), Settings(edit_batch=32, limit=5), tmp_path / "run")
    assert moves == [1] * 5


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt
