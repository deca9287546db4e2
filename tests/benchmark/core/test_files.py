"""Files are written whole or not at all; what a killed process left goes, and what a living one writes stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core import files
from benchmark.core.errors import UserError
from benchmark.core.files import cannot_write, is_unfinished, like, near_path, replacing, write_bytes, write_text

WRITE = """
import sys
from pathlib import Path
from benchmark.core.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("at work", flush=True)
    sys.stdin.readline()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITE, str(tmp_path / "a.json")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "at work\n"
        (theirs,) = names(tmp_path)
        assert is_unfinished(theirs)
        write_text(tmp_path / "b.json", "whole")
        assert names(tmp_path) == [theirs, "b.json"]
        writer.kill()
    files._swept.clear()  # as in a new process
    (tmp_path / ".c.json.old_copy").touch()
    write_text(tmp_path / "c.json", "whole")
    assert names(tmp_path) == [".c.json.old_copy", "b.json", "c.json"], "whatever file is written next"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_error_is_one_line_that_names_the_file_and_leaves_the_old_one(
    function: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    file = tmp_path / "a.json"
    write_text(file, "old")
    monkeypatch.setattr(os, function, refuse)
    with pytest.raises(UserError) as refused:
        write_bytes(file, b"new")
    assert str(refused.value).startswith(f"{file} cannot be written ({os.strerror(code)}); make room there or mend")
    assert names(tmp_path) == ["a.json"] and file.read_text() == "old"


def test_an_error_about_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "out" / "a.json"):
        (tmp_path / "inputs" / "missing.png").read_bytes()
    with pytest.raises(UserError, match=r"out cannot be written \(Is a directory\)"), cannot_write(tmp_path / "out"):
        (tmp_path / "out").write_text("")
    write_text(tmp_path / "b", "")
    with pytest.raises(UserError, match=r"a.json cannot be written"):
        write_text(tmp_path / "b" / "a.json", "")


def test_a_path_that_is_not_there_is_like_one_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "mini_generated").mkdir(parents=True)
    (tmp_path / "weights.pt").touch()
    for written, meant in {
        "out/mini_generatd": "out/mini_generated",
        "./out/Mini-Generated": "out/mini_generated",
        "ot/mini_generated": "out/mini_generated",
        "weight.pt": "weights.pt",
    }.items():
        assert like(Path(written)) == f" (did you mean {Path(meant)}?)"
    for other in ("out/mini_generated", "out/x", "owner/name", "", "a\0b", "a" * 5_000):
        assert near_path(Path(other)) is None and like(Path(other)) == ""
