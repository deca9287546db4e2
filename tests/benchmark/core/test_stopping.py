"""A stopped command ends in one line with the shell's exit code, whenever it is stopped; a closed pipe is no error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
AT_WORK = """
import sys, time
from pathlib import Path
from benchmark.core.cli import run
from benchmark.core.staging import replacing_folder
from benchmark.core.stopping import going_on
from benchmark.core.workdir import Kind, working

def wait():
    print("at work", flush=True)
    time.sleep(60)

def nothing():
    wait()
def folder():
    with working(Path("out"), Kind("run", "run.json"), {"n": 1}):
        wait()
def inner():
    with working(Path("out"), Kind("run", "run.json"), {"n": 1}), going_on(lambda: "the same command goes on from 3"):
        wait()
def whole():
    with replacing_folder(Path("out")):
        wait()
def kept():
    with replacing_folder(Path("out"), "from what"):
        wait()
run({"nothing": nothing, "folder": folder, "inner": inner, "whole": whole, "kept": kept})
"""


def start(words: list[str], folder: Path, path: Path = ROOT) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stop(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Stop a process that has printed a line; its exit code and what it wrote to standard error."""
    assert process.stdout is not None and process.stdout.readline() == "at work\n", process.communicate()[1]
    process.send_signal(number)
    errors = process.communicate(timeout=30)[1]
    return process.returncode, errors


@pytest.mark.parametrize(("number", "code"), STOPS)
@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("nothing", "nothing is half written, and the same command starts anew"),
        ("folder", "the same command goes on with what is done in out"),
        ("inner", "the same command goes on from 3"),
        ("whole", "nothing is half written, and the same command starts anew"),
        ("kept", "the same command goes on with what is made"),
    ],
)
def test_a_command_at_work_says_how_to_go_on(
    command: str, how: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    assert stop(start(["-c", AT_WORK, command], tmp_path), number) == (code, f"error: stopped; {how}\n")
    left = {path.name for path in tmp_path.rglob("*")}
    expected = {
        "folder": {"out", "run.json"},
        "inner": {"out", "run.json"},
        "kept": {".out.building", ".out.made-from"},
    }
    assert left == expected.get(command, set()), "no lock, and no temporary file"


@pytest.mark.parametrize(("number", "code"), STOPS)
@pytest.mark.parametrize("words", [["-m", "leaderboard.tables", "out"], ["-m", "mad.review", "status", "out"]])
def test_a_command_that_still_imports_has_not_begun(
    words: list[str], number: signal.Signals, code: int, tmp_path: Path
) -> None:
    for library in ("tyro", "pandas", "torch"):  # whichever comes first takes a minute
        (tmp_path / f"{library}.py").write_text("import time; print('at work', flush=True); time.sleep(60)")
    assert stop(start(words, tmp_path, path=tmp_path), number) == (
        code,
        "error: stopped before it began; nothing is half written, and the same command starts anew\n",
    )


def test_a_program_that_imports_us_keeps_its_own_signals(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("import benchmark")
    (tmp_path / "theirs" / "program.py").write_text(
        "import signal; print(signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT).__name__)"
    )
    printed, errors = start(["-m", "theirs.program"], tmp_path, path=tmp_path).communicate()
    assert printed == f"{signal.SIG_DFL} default_int_handler\n", errors


def test_the_reader_of_a_pipe_may_leave(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from benchmark.core.cli import run\n"
        "def talk():\n"
        "    for number in range(100_000): print(number)\n"
        "    Path('done').touch()\n"
        "run(talk, [])"
    )
    process = start(["-c", script], tmp_path)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert (process.wait(timeout=30), process.stderr.read()) == (0, "")
    assert (tmp_path / "done").exists(), "it did its work to the end"
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_one_line(tmp_path: Path) -> None:
    script = "from benchmark.core.cli import run\nrun(lambda: print('hello'), [])"
    words = [sys.executable, "-c", script]
    with Path("/dev/full").open("w") as full:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: input/output: No space left on device\n")


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="no nohup here")
def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As with nohup, and in the background of a shell: Ctrl-C is for what runs in front."""
    script = (
        "import os, signal; from benchmark.core.cli import run\n"
        "run(lambda: (os.kill(os.getpid(), signal.SIGINT), print('at work')), [])"
    )
    words = [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{script}"]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "at work\n", "")
