"""Runs that are kept together have their table of images once, and are read as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmark.core.readers import Unreadable
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes, record
from leaderboard.records.samples import find_samples


@pytest.fixture
def runs(base: BaseModel, small_benchmark: Benchmark, tmp_path: Path) -> list[Path]:
    """Two runs on the same images, each complete on its own."""
    judge = Judge(base, small_benchmark)
    folders = [tmp_path / "kept" / "mini" / name for name in ("null-edit", "head-only")]
    for folder in folders:
        evaluate(choose(folder.name, "small"), judge, Settings(limit=2), folder, progress=False)
    return folders


def read(folder: Path) -> str:
    """The digest of a run's outcomes, read and checked against its record."""
    return outcomes.digest(outcomes.read(folder, record.read(folder / "record.json").outcomes.sha256))


@pytest.mark.parametrize("levels", [1, 2])
def test_samples_are_kept_once_and_found_from_the_record(runs: list[Path], levels: int) -> None:
    before = [read(folder) for folder in runs]
    assert [find_samples(folder) for folder in runs] == [folder / "samples.parquet" for folder in runs]
    into = runs[0].parents[levels - 1]
    (shared,) = {outcomes.share_samples(folder, into) for folder in runs}
    named = record.read(runs[0] / "record.json").outcomes.samples_sha256
    assert shared == into / "samples" / f"{named}.parquet" == find_samples(runs[0])
    assert sorted(path.name for path in runs[0].iterdir()) == ["outcomes.parquet", "record.json", "run.json"]
    assert [read(folder) for folder in runs] == before
    assert outcomes.share_samples(runs[0], into) == shared, "again changes nothing"


def test_what_is_shared_is_checked(runs: list[Path], tmp_path: Path) -> None:
    shared = outcomes.share_samples(runs[0], runs[0].parent)
    samples = outcomes.read(runs[1]).samples
    samples.assign(label=(samples["label"] + 1) % 1000).to_parquet(shared)
    with pytest.raises(Unreadable, match="other images than its name says"):
        read(runs[0])
    shared.unlink()
    with pytest.raises(Unreadable, match=r"samples\.parquet: no such file"):
        read(runs[0])


@pytest.mark.parametrize("named", ["../../secret", "a" * 63, 7, None, ["a"], "A" * 64])
def test_a_record_names_no_other_place(runs: list[Path], named: object) -> None:
    values = json.loads((runs[0] / "record.json").read_text())
    shutil.copy(runs[0] / "samples.parquet", runs[0].parents[1] / "secret.parquet")
    (runs[0] / "samples.parquet").unlink()
    values["outcomes"]["samples_sha256"] = named
    (runs[0] / "record.json").write_text(json.dumps(values))
    assert find_samples(runs[0]) == runs[0] / "samples.parquet"
    with pytest.raises(Unreadable):
        read(runs[0])


def test_a_run_from_before_names_no_hash_and_is_left_alone(runs: list[Path]) -> None:
    values = json.loads((runs[0] / "record.json").read_text())
    del values["outcomes"]["samples_sha256"]
    (runs[0] / "record.json").write_text(json.dumps({**values, "schema_version": 1}))
    read(runs[0])
    with pytest.raises(Unreadable, match="does not name the hash of its images"):
        outcomes.share_samples(runs[0], runs[0].parent)
    assert (runs[0] / "samples.parquet").is_file()
