"""Runs are found at any depth, each once, in the order of their paths, and records cannot be changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

import leaderboard
from leaderboard.records import record
from leaderboard.records.runs import find_runs

FILE = Path(leaderboard.__file__).parent / "results" / "mini-1" / "ft" / "record.json"


def test_runs_are_found_once_each_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["b/c/d", "a", "c", "b", "b/a"]
    for name in names:
        record.read(FILE).model_copy(update={"key": name}).write(tmp_path / name / "record.json")
    shutil.copytree(tmp_path / "a", tmp_path / "0 backup" / "a")
    files = [path for path, _ in find_runs([tmp_path / "c", tmp_path, tmp_path / "b"])]
    assert files == sorted(tmp_path / name / "record.json" for name in names)


def test_a_record_cannot_be_changed() -> None:
    result = record.read(FILE)
    with pytest.raises(ValidationError):
        result.key = "another"
    with pytest.raises(ValidationError):
        result.scores["sr"].value = 1.0
