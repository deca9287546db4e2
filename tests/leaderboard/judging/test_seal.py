"""A process that is shut in reaches nothing but what it was given, and ends in time."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import benchmark
from benchmark.core.errors import UserError
from leaderboard.judging.border import Border
from leaderboard.judging.seal import MISSING, Seal

DATA = Path(benchmark.__file__).parent / "assets" / "mini" / "data" / "edit-00000-of-00001.parquet"
HEAD = "import os, socket, subprocess, sys, time\nfrom pathlib import Path\nfrom editors import Editor, WeightEdit\n"
EDITOR = "\nclass Mine(Editor):\n    def edit(self, model, images, labels):\n        return WeightEdit({})\n"


@contextmanager
def listening() -> Iterator[int]:
    """Listen on loopback, as something that the editor would call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def imported(folder: Path, body: str, seal: Seal) -> str:
    """Import a stranger's file with this code in a process that is shut in; empty if it went well, else its line."""
    file = folder / "mine.py"
    file.write_text(HEAD + body + EDITOR)
    try:
        Border(seal=seal).choose(f"{file}:Mine", "small")
    except UserError as error:
        if str(error) == MISSING:
            pytest.skip("this system cannot shut a process in")
        return str(error)
    return ""


def test_a_stranger_may_do_what_an_editor_does(tmp_path: Path) -> None:
    assert imported(tmp_path, "import torch, beside; torch.ones(3)", Seal(readable=(tmp_path,))) != ""
    (tmp_path / "beside.py").write_text("import numpy")
    scratch = "Path(os.environ['TMPDIR'], 'x').write_text('a'); subprocess.run([sys.executable, '-c', ''], check=True)"
    assert imported(tmp_path, f"import torch, beside; torch.ones(3)\n{scratch}", Seal(readable=(tmp_path,))) == ""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("socket.create_connection(('127.0.0.1', PORT), 2)", "Permission denied|unreachable|refused"),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))", "unreachable"),
        ("os.listdir(HOME)", "Permission denied"),
        ("Path(SECRET).read_text()", "Permission denied"),
        ("os.listdir(Path(SECRET).parent)", "Permission denied"),
        ("Path(SECRET).with_name('new').write_text('a')", "Permission denied"),
        ("Path(__file__).with_name('new.py').write_text('a')", "Permission denied"),
        ("Path(DATA).read_bytes()", "Permission denied"),
        ("Path('/proc/1/environ').read_bytes()", "Permission denied"),
        ("subprocess.run(['cat', SECRET], check=True)", "CalledProcessError|exit status"),
        ("os.environ['HF_TOKEN']", "KeyError"),
        ("x = bytearray(1 << 34)", "MemoryError"),
        ("time.sleep(60)", "took more than 3 s to answer, and was ended"),
        ("os.fork() or os.setsid() or time.sleep(60)\ntime.sleep(60)", "took more than 3 s to answer"),
        ("os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("os._exit(3)", r"ended \(exit code 3\)"),
    ],
)
def test_what_it_was_not_given_it_cannot_reach(body: str, reason: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "answers").write_text("42")
    (tmp_path / "given").mkdir()
    names = {"HOME": str(Path.home()), "SECRET": str(tmp_path / "secret" / "answers"), "DATA": str(DATA)}
    patience = 3.0 if "3 s" in reason else 60.0
    with listening() as port:
        names["PORT"] = str(port)
        code = re.sub(r"\b(HOME|SECRET|DATA)\b", lambda match: repr(names[match[0]]), body).replace("PORT", str(port))
        line = imported(tmp_path / "given", code, Seal((tmp_path / "given",), memory=8 << 30, patience=patience))
    assert re.search(reason, line), line
    assert "\n" not in line


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    """A child that left its session would else go on for ever."""
    seal = Seal((tmp_path,), patience=3.0)
    name = f"time.sleep(600) # {tmp_path.name}"
    imported(
        tmp_path, f"subprocess.Popen([sys.executable, '-c', {name!r}], start_new_session=True)\ntime.sleep(60)", seal
    )
    deadline = time.monotonic() + 10
    while (alive := _commands_with(tmp_path.name)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive


def _commands_with(text: str) -> list[str]:
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(process.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if f"# {text}" in line]


def test_where_the_system_cannot_shut_it_in_no_code_is_run(tmp_path: Path) -> None:
    """A file to be hidden that is not there stands for a system without namespaces."""
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    with pytest.raises(UserError, match="--trust-code"):
        Border(seal=Seal((tmp_path,), hidden=(tmp_path / "nowhere",))).choose(f"{tmp_path}/mine.py:Mine", "small")
    assert not (tmp_path / "was-run").exists()
