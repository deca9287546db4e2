"""Runs are found at any depth, each once, in the order of their paths, and records cannot be changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

import leaderboard
from benchmark.core.errors import UserError
from leaderboard.records import record
from leaderboard.records.runs import find_named, find_newest, find_runs, tell_apart
from leaderboard.scores import tables

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


def at(folder: Path, hour: int, name: str = "ft", **changed: object) -> str:
    """A copy of ft's record of that hour, in a folder of its own below the default place; its key."""
    result = record.read(FILE)
    editor = result.editor.model_copy(update={"name": name, "spec": name, **changed})
    limit = {"protocol": result.protocol.model_copy(update={"limit": changed["limit"]})} if "limit" in changed else {}
    key = f"{name}{hour:02d}".ljust(64, "0")
    update = {"key": key, "created": f"2026-01-01T{hour:02d}:00:00+00:00", "editor": editor, **limit}
    result.model_copy(update=update).write(folder / "out" / "leaderboard" / f"{name}-{hour}" / "record.json")
    return key


def test_the_newest_of_runs_that_would_be_one_row_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    old = at(tmp_path, 9, source_sha256="1" * 64)
    new = at(tmp_path, 10, source_sha256="2" * 64)
    drawn = at(tmp_path, 8, limit=7)
    other = at(tmp_path, 7, "kn")
    assert {result.key for _, result in find_newest([])} == {new, drawn, other}
    assert [note.getMessage() for note in caplog.records] == [
        "1 older run of a setting that is shown is left out; python -m leaderboard.tables --all shows every one"
    ]
    both = [result for _, result in find_runs([]) if result.key in (old, new)]
    assert tell_apart(both) == [
        "ft100000, 2026-01-01 10:00, code 22222222",
        "ft090000, 2026-01-01 09:00, code 11111111",
    ]
    assert [row[0] for row in tables.rows(both)[1:]] == [f"ft ({words})" for words in tell_apart(both)]
    assert tell_apart([both[0]]) == [""]


def keys_of(*names: str) -> list[list[str]]:
    return [[result.key for _, result in runs] for runs in find_named(names)]


def test_runs_are_found_by_their_editors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole, newer = at(tmp_path, 9), at(tmp_path, 11, limit=7)
    other = at(tmp_path, 10, "kn")
    assert keys_of("ft", "kn") == [[whole], [other]], "the newest ft has other edits"
    assert keys_of("out/leaderboard/ft-11", "ft") == [[newer], [newer]]
    assert keys_of("out", "kn") == [[newer, whole, other], [other]] == [keys_of()[0], [other]]
    both = at(tmp_path, 12, "kn", limit=7)
    assert keys_of("ft", "kn") == [[newer], [both]], "of two kinds that both have, the newer"
    with pytest.raises(UserError, match='did you mean "kn"'):
        find_named(["ft", "knn"])


def test_two_records_of_one_run_are_refused_and_one_that_is_named_twice_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = at(tmp_path, 9)
    run = tmp_path / "out" / "leaderboard" / "ft-9"
    assert keys_of("out", str(run)) == [[key], [key]]
    shutil.copytree(run, tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"out.leaderboard.ft-9 and elsewhere are two records of one run"):
        find_named(["out", "elsewhere"])
    changed = record.read(run / "record.json")
    outcomes = changed.outcomes.model_copy(update={"sha256": "0" * 64})
    changed.model_copy(update={"outcomes": outcomes}).write(run.parent / "x" / "record.json")
    with pytest.raises(UserError, match="are two records of one run"):
        find_named(["out"])
