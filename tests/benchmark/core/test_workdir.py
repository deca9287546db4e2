"""A working folder belongs to one thing: whoever comes with another is told in one line, and nothing is lost."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark.core import files
from benchmark.core.checksums import keep_only, names_below, read_checksums, write_checksums
from benchmark.core.errors import UserError
from benchmark.core.text import printable
from benchmark.core.workdir import LOCK, Kind, check_empty, check_replaceable, claim, holds, working

RUN = Kind("run", "run.json", identity="facts")
BANK = Kind("bank", "bank.json", fix="name another --bank, or delete it")
NOTE: dict[str, Any] = {"facts": {"editor": {"name": "ft", "lr": 0.1}, "limit": 2}, "made": "today"}


def other(**changes: Any) -> dict[str, Any]:
    return {**NOTE, "facts": {**NOTE["facts"], **changes}}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def claimed(tmp_path: Path) -> Path:
    claim(tmp_path / "out", RUN, NOTE)
    return tmp_path / "out"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_new_or_empty_folder_is_claimed(tmp_path: Path, is_there: bool) -> None:
    folder = tmp_path / "deep" / "out"
    if is_there:
        folder.mkdir(parents=True)
    assert not holds(folder, RUN, NOTE)
    assert not claim(folder, RUN, NOTE)
    assert names(folder) == {"run.json"}
    assert json.loads((folder / "run.json").read_text()) == NOTE
    assert holds(folder, RUN, NOTE)


def test_the_same_thing_goes_on_beside_its_files(claimed: Path) -> None:
    (claimed / "parts").mkdir()
    before = (claimed / "run.json").stat().st_mtime_ns
    assert claim(claimed, RUN, NOTE)
    assert (claimed / "run.json").stat().st_mtime_ns == before, "nothing is written that is there already"
    assert names(claimed) == {"run.json", "parts"}


def test_only_the_identity_must_stay_the_same(claimed: Path) -> None:
    files.write_text(claimed / "run.json", json.dumps({**NOTE, "batch": 8}))
    assert claim(claimed, RUN, {**NOTE, "made": "tomorrow"})
    assert json.loads((claimed / "run.json").read_text()) == {**NOTE, "batch": 8, "made": "tomorrow"}


@pytest.mark.parametrize(
    ("note", "difference"),
    [
        (other(limit=3), "its limit is 2, yours is 3"),
        (other(editor={"name": "ft", "lr": 0.2}), "its editor.lr is 0.1, yours is 0.2"),
        (other(seed=1), "its seed is None, yours is 1"),
        ({"facts": {"editor": NOTE["facts"]["editor"]}}, "its limit is 2, yours is None"),
        (other(editor="ft"), "its editor is {'name': 'ft', 'lr': 0.1}, yours is ft"),
    ],
)
def test_another_thing_is_told_the_first_difference(claimed: Path, note: dict[str, Any], difference: str) -> None:
    before = (claimed / "run.json").read_bytes()
    with pytest.raises(UserError) as refused:
        claim(claimed, RUN, note)
    assert str(refused.value) == f"{claimed} holds another run ({difference}); name another --out, or delete it"
    assert (claimed / "run.json").read_bytes() == before


def test_a_kind_without_an_identity_compares_the_whole_note_and_names_its_own_option(tmp_path: Path) -> None:
    claim(tmp_path, BANK, {"a": 1, "not a number": float("nan")})
    assert claim(tmp_path, BANK, {"a": 1, "not a number": float("nan")})
    with pytest.raises(UserError, match=r"holds another bank \(its b is None, yours is 2\); name another --bank, or"):
        claim(tmp_path, BANK, {"a": 1, "not a number": float("nan"), "b": 2})


def test_a_strangers_folder_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds notes.txt, which no run made; name another --out, or delete it"):
        claim(tmp_path, RUN, NOTE)
    assert names(tmp_path) == {"notes.txt"}
    with pytest.raises(UserError, match=r"notes.txt must be a folder, not a file; name another --out"):
        claim(tmp_path / "notes.txt", RUN, NOTE, overwrite=True)
    with pytest.raises(UserError, match="must be a folder, not a file"):
        holds(tmp_path / "notes.txt", RUN)


def test_what_file_browsers_leave_is_no_stranger(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    assert not claim(tmp_path, RUN, NOTE)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"facts"', "\x00", '{"made": "today"}'])
def test_a_damaged_note_is_named(claimed: Path, text: str) -> None:
    (claimed / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run.json is damaged and does not say which run .* holds; name another --out"):
        claim(claimed, RUN, NOTE)
    assert not claim(claimed, RUN, NOTE, overwrite=True)
    assert claim(claimed, RUN, NOTE)


def test_overwriting_takes_any_folder_and_begins_anew(claimed: Path) -> None:
    (claimed / "ranking.csv").touch()
    assert not claim(claimed, RUN, other(limit=3), overwrite=True)
    assert json.loads((claimed / "run.json").read_text()) == other(limit=3)
    assert names(claimed) == {"run.json", "ranking.csv"}
    (claimed / "run.json").unlink()
    assert not claim(claimed, RUN, NOTE, overwrite=True)


def test_after_a_kill_between_the_temporary_note_and_its_name_the_folder_can_be_claimed(tmp_path: Path) -> None:
    kill = (
        "import os, sys; from pathlib import Path; from benchmark.core.workdir import Kind, claim\n"
        "Path.replace = lambda *_: os._exit(9)\n"
        "claim(Path(sys.argv[1]), Kind('run', 'run.json'), {'facts': 1})"
    )
    assert subprocess.run([sys.executable, "-c", kill, str(tmp_path / "out")]).returncode == 9
    left = names(tmp_path / "out")
    assert len(left) == 2 and LOCK in left and "run.json" not in left, "a lock and a temporary file"
    assert not holds(tmp_path / "out", RUN)
    assert not claim(tmp_path / "out", RUN, NOTE)
    assert names(tmp_path / "out") == {"run.json"}


def test_a_users_hidden_file_is_no_leftover(tmp_path: Path) -> None:
    for name in (".run.json.bak", ".run.json.old_copy", ".other.json.abcd1234.json"):
        (tmp_path / name).touch()
        with pytest.raises(UserError, match="which no run made"):
            claim(tmp_path, RUN, NOTE)
        (tmp_path / name).unlink()


def test_of_several_processes_one_makes_the_folder_its_own(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from benchmark.core.workdir import Kind, claim\n"
        "from benchmark.core.errors import UserError\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: print('there' if claim(Path(sys.argv[1]), Kind('run', 'run.json'), {'n': sys.argv[2]}) else 'new')\n"
        "except UserError as error: print(error)"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "out")]
    racers = [
        subprocess.Popen([*words, n], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for n in "11112222"
    ]
    for racer in racers:
        assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.communicate()[0].strip() for racer in racers]
    assert said.count("new") == 1 and said.count("there") == 3
    assert sum("holds another run (its n is " in line for line in said) == 4
    assert names(tmp_path / "out") == {"run.json"}


CHOICE = Kind("choice", "choice.json")


def test_what_is_replaced_as_a_whole_holds_nothing_else(tmp_path: Path) -> None:
    out, inside = tmp_path / "out", tmp_path / "out" / "images" / "a.png"
    check_replaceable(out, CHOICE, inputs=[tmp_path / "elsewhere", tmp_path])
    claim(out, CHOICE, {"base": "mini"})
    check_replaceable(out, CHOICE)
    inside.parent.mkdir()
    inside.touch()
    with pytest.raises(UserError, match=r"holds images/a.png, which no choice made, as SHA256SUMS tells"):
        check_replaceable(out, CHOICE)
    write_checksums(out)
    check_replaceable(out, CHOICE)
    for path in (out, inside):
        with pytest.raises(UserError, match=r"will be replaced as a whole, and .* lies in it; name another --out"):
            check_replaceable(out, CHOICE, inputs=[path])
    with pytest.raises(UserError, match=r"another choice \(its base is mini, yours is small\)"):
        check_replaceable(out, CHOICE, {"base": "small"})
    for name in ("notes.txt", "images/my.png", "new/deep/.hidden", "images/\x1b[2J.png"):
        stranger = out / name
        stranger.parent.mkdir(parents=True, exist_ok=True)
        stranger.touch()
        with pytest.raises(UserError, match=re.escape(f"holds {printable(name)}, which no choice made")):
            check_replaceable(out, CHOICE)
        stranger.unlink()
    (out / ".DS_Store").touch()
    check_replaceable(out, CHOICE)


def test_only_what_was_written_is_removed(tmp_path: Path) -> None:
    """Neither a stranger's file, nor one of ours that somebody changed, nor what a list outside of the folder names."""
    out, outside = tmp_path / "out", tmp_path / "outside.png"
    (out / "sheets").mkdir(parents=True)
    for name in ("sheets/old.png", "sheets/painted.png", "sheets/new.png", "sheets/holiday.png", "../outside.png"):
        (out / name).write_text(name)
    write_checksums(out, ["sheets/old.png", "sheets/painted.png", "sheets/new.png", "../outside.png"])
    (out / "sheets" / "painted.png").write_text("by hand")
    keep_only(out, ["sheets/new.png"])
    assert names_below(out) == ["SHA256SUMS", "sheets/holiday.png", "sheets/new.png", "sheets/painted.png"]
    assert outside.is_file() and [*read_checksums(out)] == ["sheets/new.png"]
    (out / "SHA256SUMS").write_bytes(b"\xff no list")
    keep_only(out, ["sheets/new.png"])
    assert len(names_below(out)) == 4


def test_a_checkout_of_git_is_not_replaced(claimed: Path) -> None:
    (claimed / ".git").mkdir()
    with pytest.raises(UserError, match="is a checkout of git"):
        check_replaceable(claimed, RUN, NOTE)


def test_a_kind_names_what_may_lie_in_its_folder_beforehand(tmp_path: Path) -> None:
    build = Kind("build", "build.json", beside=frozenset({"README.md"}))
    (tmp_path / "README.md").touch()
    assert not holds(tmp_path, build)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError, match="thesis"):
        holds(tmp_path, build)


def test_an_empty_folder(tmp_path: Path) -> None:
    check_empty(tmp_path)
    check_empty(tmp_path / "not there")
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match="is not empty: it holds a; name another --out, or delete it"):
        check_empty(tmp_path)
    with pytest.raises(UserError, match="must be a folder, not a file"):
        check_empty(tmp_path / "a")


HOLD = """
import sys
from pathlib import Path
from benchmark.core.workdir import Kind, working
with working(Path(sys.argv[1]), Kind("run", "run.json"), {"n": 1}):
    print("at work", flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_is_told_who_works_in_the_folder(tmp_path: Path) -> None:
    kind, out = Kind("run", "run.json"), tmp_path / "out"
    words = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "at work\n"
        with pytest.raises(UserError) as refused, working(out, kind, {"n": 1}):
            raise AssertionError("two at once")
        who = f"process {first.pid} on {platform.node()}, since "
        assert str(refused.value).startswith(f"{out}: another process is at work there ({who}")
        assert str(refused.value).endswith("; wait for it to end, or name another --out")
        first.kill()
    assert names(out) == {"run.json", LOCK}, "the lock of a killed process is left"
    with working(out, kind, {"n": 1}) as was_there:
        assert was_there
    assert names(out) == {"run.json"}, "and goes with the next"


def test_a_finished_folder_that_cannot_be_written_can_be_read(claimed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a read-only disk, also for root
    monkeypatch.setattr(files, "write_text", None)
    with working(claimed, RUN, NOTE) as was_there:
        assert was_there and names(claimed) == {"run.json"}
