"""A folder is replaced as a whole or not at all, whenever the process dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core import staging
from benchmark.core.errors import UserError
from benchmark.core.staging import discard, recover, replacing_folder

STUCK = """
import sys, time
from pathlib import Path
from benchmark.core.staging import replacing_folder
with replacing_folder(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("half")
    print("in it", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "old.txt").write_text("old")
    return tmp_path / "data"


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_new_folder_takes_the_old_ones_place(old: Path) -> None:
    with replacing_folder(old) as folder:
        (folder / "new.txt").write_text("new")
        assert contents(old) == {"deep/old.txt"}
        assert not (folder / ".data.lock").exists(), "a lock moves into no result"
    assert contents(old.parent) == {"data/new.txt"}
    with replacing_folder(old.parent / "made" / "here") as folder:
        (folder / "new.txt").write_text("new")
    assert contents(old.parent / "made") == {"here/new.txt"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_folder(old: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), replacing_folder(old) as folder:
        (folder / "new.txt").write_text("new")
        raise error
    assert contents(old.parent) == {"data/deep/old.txt"}
    assert [path.name for path in old.parent.iterdir()] == ["data"]


def test_a_failure_between_the_two_renames_puts_the_old_folder_back(old: Path, monkeypatch) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith("building"):
            raise OSError("not today")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="not today"), replacing_folder(old) as folder:
        (folder / "new.txt").write_text("new")
    assert contents(old.parent) == {"data/deep/old.txt"}


def test_after_a_kill_the_old_folder_stands_and_leftovers_go(old: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK, str(old)], stdout=subprocess.PIPE, text=True) as stuck:
        assert stuck.stdout is not None and stuck.stdout.readline() == "in it\n"
        with pytest.raises(UserError, match="another process"), replacing_folder(old):
            raise AssertionError("two at once")
        recover(old)
        stuck.kill()
    assert contents(old.parent) == {
        "data/deep/old.txt",
        ".data.building/half.txt",
        ".data.lock",
        ".data.made-from",
    }
    with replacing_folder(old) as folder:
        assert not list(folder.iterdir())
        (folder / "new.txt").write_text("new")
    assert contents(old.parent) == {"data/new.txt"}


@pytest.mark.parametrize("building", [True, False])
def test_what_a_kill_between_the_renames_moved_aside_comes_back(old: Path, building: bool) -> None:
    old.rename(old.parent / ".data.replaced")
    if building:
        (old.parent / ".data.building").mkdir()
    recover(old)
    assert contents(old) == {"deep/old.txt"}
    assert not (old.parent / ".data.replaced").exists()


def test_a_link_to_a_folder_stays_one(old: Path) -> None:
    (old.parent / "link").symlink_to(old)
    with replacing_folder(old.parent / "link") as folder:
        (folder / "new.txt").write_text("new")
    assert (old.parent / "link").is_symlink() and contents(old) == {"new.txt"}


def test_what_was_made_from_the_same_is_kept_for_the_next_run(tmp_path: Path) -> None:
    def make(note: str) -> set[str]:
        with replacing_folder(tmp_path / "data", note) as folder:
            there = contents(folder)
            (folder / f"{len(there)}.txt").write_text("made")
        return there

    for note, kept in (("a", set()), ("a", {"0.txt"}), ("b", set())):
        with pytest.raises(ValueError), replacing_folder(tmp_path / "data", note) as folder:
            assert contents(folder) == kept, "another note empties the folder"
            (folder / f"{len(kept)}.txt").write_text("made")
            raise ValueError
    assert make("b") == {"0.txt"}
    assert contents(tmp_path) == {"data/0.txt", "data/1.txt"}, "the note is no part of the result"


def test_a_folder_is_discarded_whole(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging.shutil, "rmtree", lambda *_, **__: None)  # as far as a kill lets it come
    discard(old)
    assert contents(old.parent) == {".data.replaced/deep/old.txt"}, "nothing is left under its name"
    monkeypatch.undo()
    old.mkdir()
    discard(old)
    assert not list(old.parent.iterdir())


def test_what_a_killed_run_left_of_another_folder_goes_too(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True
    ) as stuck:
        assert stuck.stdout is not None and stuck.stdout.readline() == "in it\n"
        with replacing_folder(tmp_path / "b"):
            assert (tmp_path / ".a.building" / "half.txt").exists(), "it is being made"
        stuck.kill()
    (tmp_path / ".mine.building").mkdir()
    (tmp_path / ".mine.building" / "thesis.txt").touch()
    with replacing_folder(tmp_path / "b"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"b", ".mine.building"}, "and nothing of the user's"
