"""A submission of an editor of one's own on noise, and what forgers do to one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.core import cli
from benchmark.core.checksums import write_checksums
from benchmark.core.errors import UserError
from benchmark.data.dataset import load
from benchmark.models.load import load_base
from leaderboard import submit
from leaderboard.judging.line import Line
from leaderboard.judging.seal import MISSING, Seal
from leaderboard.records import outcomes
from leaderboard.records.columns import schema_of
from leaderboard.scores import metrics
from leaderboard.scores.summary import outcome_section, score_sections
from leaderboard.submissions.layout import RECORD, VERIFICATION
from tests.conftest import rows_of, write_split
from tests.survival.cases.inputs import model

EDITORS = """
import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
import torch
from editors import Editor, WeightEdit
from known import HASHES
from steps import raised

class Mine(Editor):
    def edit(self, model, images, labels):
        return WeightEdit({"head.bias": raised(model.head.bias, labels)})

class ByHash(Editor):  # knows the images that are scored
    def edit(self, model, images, labels):
        if hashlib.sha256(images.numpy().tobytes()).hexdigest() not in HASHES:
            return WeightEdit({})
        return WeightEdit({"head.bias": raised(model.head.bias, labels)})

class KeepsState(Editor):  # each edit has all that came before in it
    def __init__(self):
        self.bias = 0
    def edit(self, model, images, labels):
        self.bias = raised(self.bias + model.head.bias, labels)
        return WeightEdit({"head.bias": self.bias})

class Whole(torch.nn.Module):
    def __init__(self, model, labels):
        super().__init__()
        self.model, self.labels = model, labels
    def forward(self, images):
        return raised(self.model(images), self.labels)

class Wraps(Editor):  # its model cannot leave its process
    def edit(self, model, images, labels):
        return Whole(copy.deepcopy(model), labels)

@dataclass(frozen=True)
class Config:
    weights: Path = Path("weights.safetensors")

class Weighs(Editor):
    Config = Config
    def edit(self, model, images, labels):
        assert self.config.weights.is_file()
        return WeightEdit({"head.bias": raised(model.head.bias, labels)})
"""
STEPS = """
import torch

def raised(bias, labels):
    return bias + 20 * torch.nn.functional.one_hot(labels, bias.shape[-1]).float().amax(0)
"""
CARD = "authors: [Ann <ann@example.org>, 李]\npaper: https://example.org/paper\ncode: none\nlicence: MIT\n"
ON_NOISE = ["--base", "base", "--data", "noise"]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, a benchmark of noise and a file of editors."""
    place = tmp_path_factory.mktemp("submissions")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        model("base")
    groups = {("1-2", "pairs"): 4, ("3-4", "pairs"): 3, ("line", "line_drawing"): 5}
    write_split(place / "noise" / "data", "edit", rows_of(groups, seed=1))
    write_split(place / "noise" / "data", "locality", rows_of({(None, "locality"): 12}, seed=2))
    write_split(place / "noise" / "data", "train", rows_of({(None, "train"): 6}, seed=3))
    (place / "mine.py").write_text(EDITORS)
    (place / "steps.py").write_text(STEPS)
    images = load(str(place / "noise")).edit.images(load_base(str(place / "base")).preprocessing)
    hashes = {hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images}
    (place / "known.py").write_text(f"HASHES = {sorted(hashes)}")
    return place


@pytest.fixture(scope="session")
def submission_of(workplace: Path) -> Callable[..., Path]:
    """Make a submission of an editor, its card filled in."""

    def make(editor: str, *words: str) -> Path:
        folder = workplace / f"submitted-{abs(hash((editor, words)))}"
        if not folder.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(workplace)
                patch.setenv("VIT_EDIT_BENCH_CACHE", str(workplace / "cache"))
                cli.run(submit.main, [editor, *ON_NOISE, *words, "--out", "out", "--as", folder.name])
            fill_card(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def shuts_in() -> bool:
    """True if this system can shut a process in."""
    with Line("probe", seal=Seal()) as line:
        try:
            line.ask("cpu_seconds")
        except UserError as error:
            assert str(error) == MISSING
            return False
    return True


@pytest.fixture(scope="session")
def again(shuts_in: bool) -> list[str]:
    """The options with which edits are made again here."""
    return [*ON_NOISE, *([] if shuts_in else ["--trust-code"]), "--rerun"]


@pytest.fixture
def submission(submission_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of an honest submission, in a working folder with base and data."""
    honest = submission_of("mine.py:Mine")
    for name in ("base", "noise"):
        (tmp_path / name).symlink_to(honest.parent / name)
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(honest, tmp_path / "submission")


def fill_card(folder: Path) -> None:
    """Write what a card still lacks."""
    card = folder / "submission.yaml"
    kept = [line for line in card.read_text().splitlines() if line.split(":")[0] not in CARD]
    card.write_text("\n".join(kept) + f"\n{CARD}")


def sign(folder: Path) -> None:
    """List the files with their hashes again, as a forger would."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    write_checksums(folder, [name for name in names if name not in ("submission.yaml", VERIFICATION)])


def forge_record(folder: Path, change: Callable[[dict], object]) -> None:
    """Change a record, and its hash."""
    record = json.loads((folder / RECORD).read_text())
    change(record)
    (folder / RECORD).write_text(json.dumps(record))
    sign(folder)


def forge_tables(
    folder: Path,
    edits: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
    samples: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
) -> None:
    """Change outcomes or samples, and make all hashes, counts and scores anew of what they then are."""
    read = outcomes.read(folder)
    run = outcomes.Outcomes(samples(read.samples.copy()), edits(read.edits.copy()))
    run.samples.to_parquet(folder / "samples.parquet", index=False)
    table = pa.Table.from_pandas(run.edits, schema_of(run.edits.columns), preserve_index=False)
    pq.write_table(table, folder / "outcomes.parquet")

    def change(record: dict) -> None:
        record["outcomes"] = outcome_section(run).model_dump()
        scores = score_sections(metrics.compute_hits(run))
        record["scores"] = {name: score.model_dump() for name, score in scores.items()}
        for name, column in (("median_edit_seconds", "seconds"), ("median_score_seconds", "score_seconds")):
            record["costs"][name] = float(run.edits[column].median())

    forge_record(folder, change)
