"""A run that is killed goes on to the record of an uninterrupted one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from leaderboard.records import outcomes

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
    for record in records:
        del record["costs"], record["created"]
    assert records[0] == records[1]
