"""A run that is killed goes on to the record of an uninterrupted one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
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
from leaderboard.judging.evaluate import Settings, evaluate
from leaderboard.judging.judge import Judge
from tests.conftest import PREPROCESSING, small_vit
data, folder, pause = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
write = outcomes.write_part
def slowly(*arguments):
    write(*arguments); print("part", flush=True); time.sleep(pause)
outcomes.write_part = slowly
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


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt
