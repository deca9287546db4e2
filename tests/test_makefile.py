"""`make` asks for a Python that will do, installs by uv or pip, mends what ended too early and deletes no work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A Python that says its release, makes environments and logs what it is asked to install; MODE says what fails.
FAKE = """#!/bin/sh
case "$*" in
  "-c "*) shift; exec {real} -c "import sys; sys.version_info = ({release}); exec(sys.argv.pop(1))" "$@" ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0.uv" "$3/bin/uv"; test "$MODE" != venv ;;
  *) echo "$*" >> asked; case "$MODE,$*" in *,*uv) test "$MODE" = "" ;; pip,*) exit 1 ;; esac ;;
esac
"""
UV = '#!/bin/sh\necho "uv $*" >> asked\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the installation reads, an `old` and a `new` Python."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name, release in (("old", "3, 9"), ("new", "3, 12")):
        for path, text in ((name, FAKE.format(real=sys.executable, release=release)), (f"{name}.uv", UV)):
            (tmp_path / path).write_text(text, encoding="utf-8")
            (tmp_path / path).chmod(0o755)
    return tmp_path


def make(folder: Path, *words: str, mode: str = "") -> subprocess.CompletedProcess[str]:
    """Run make, and note what Python and uv were asked in the file `asked`."""
    (folder / "asked").write_text("", encoding="utf-8")
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")  # of `make test`, which runs this
    environment = {**{name: value for name, value in os.environ.items() if name not in outer}, "MODE": mode}
    return subprocess.run(["make", *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def asked(folder: Path) -> list[str]:
    """Return what Python and uv were asked to install."""
    return [line for line in (folder / "asked").read_text(encoding="utf-8").splitlines() if "install" in line]


@pytest.mark.parametrize(
    ("goal", "named"), [((), "demo"), (("demo",), "demo"), (("test",), "test"), (("lint",), "lint")]
)
def test_an_old_python_is_refused_before_anything_is_made(clone: Path, goal: tuple[str, ...], named: str) -> None:
    done = make(clone, *goal, "PYTHON=./old")
    error, of_make = done.stderr.splitlines()
    assert error == f"error: ./old is Python 3.9, and 3.10 or newer is needed: make {named} PYTHON=python3.12"
    assert done.returncode == 2 and of_make.startswith("make: ***") and done.stdout == ""
    assert not (clone / ".venv").exists()
    assert make(clone, *goal, "PYTHON=nowhere").stderr.startswith(
        f"error: there is no nowhere; install Python 3.10 or newer, or name it: make {named} PYTHON=python3.12"
    )


def test_an_environment_of_an_old_python_is_named_and_left_alone(clone: Path) -> None:
    subprocess.run(["./old", "-m", "venv", ".venv"], cwd=clone, check=True)
    line = make(clone, "PYTHON=./new").stderr.splitlines()[0]
    assert line.endswith("3.10 or newer is needed: rm -r .venv, then make demo PYTHON=python3.12")
    assert (clone / ".venv" / "bin" / "python").is_file()


def test_uv_installs_and_a_second_make_does_not(clone: Path) -> None:
    assert make(clone, "PYTHON=./new").returncode == 0
    commands = (clone / "asked").read_text(encoding="utf-8").splitlines()
    assert commands[1:2] == ["uv pip install --quiet --python .venv/bin/python -c constraints.txt -e .[board]"]
    assert commands[0].startswith("-m pip install") and commands[0].endswith(" uv") and len(asked(clone)) == 2
    (mined, edited, shown) = commands[-3:]
    assert mined == "-m mad.search --pair mini,mini-strong --out out/demo/mad"
    assert {"hypernetwork", "head-only"} < {*edited.split()} and edited.endswith("--out out/demo/leaderboard")
    assert shown == "-m leaderboard.site out/demo/leaderboard --out out/demo/site", "whose last line names its page"
    assert make(clone, "PYTHON=./new").returncode == 0
    assert asked(clone) == []


def test_the_tests_need_more(clone: Path) -> None:
    assert make(clone, ".venv/for-tests", "PYTHON=./new").returncode == 0
    assert asked(clone)[-1].endswith("-c constraints.txt -e .[dev,onnx,ray,browser,board]")


def test_pip_installs_where_uv_cannot_be_had(clone: Path) -> None:
    done = make(clone, "PYTHON=./new", mode="uv")
    assert done.returncode == 0 and "pip goes on" in done.stdout
    assert [line.removeprefix("-m pip install --quiet --disable-pip-version-check ") for line in asked(clone)] == [
        "uv",
        "-c constraints.txt -e .[board]",
    ]


def test_pip_installs_where_uv_fails(clone: Path) -> None:
    (clone / "new.uv").write_text(UV + "exit 1\n", encoding="utf-8")
    assert make(clone, "PYTHON=./new").returncode == 0
    assert asked(clone)[2].endswith("-c constraints.txt -e .[board]")


@pytest.mark.parametrize("mode", ["venv", "pip"])
def test_what_failed_is_made_again_by_another_python(clone: Path, mode: str) -> None:
    assert make(clone, "PYTHON=./new", mode=mode).returncode == 2
    (clone / "newer").write_text((clone / "new").read_text(encoding="utf-8") + "# newer\n", encoding="utf-8")
    (clone / "newer").chmod(0o755)
    shutil.copy(clone / "new.uv", clone / "newer.uv")
    assert make(clone, "PYTHON=./newer").returncode == 0
    assert (clone / ".venv" / "bin" / "python").read_text(encoding="utf-8").endswith("# newer\n")


def test_an_environment_that_lost_its_python_is_made_again(clone: Path) -> None:
    assert make(clone, "PYTHON=./new").returncode == 0
    (clone / ".venv" / "bin" / "python").unlink()
    (clone / ".venv" / "bin" / "python").symlink_to("gone")
    assert make(clone, "PYTHON=./new").returncode == 0 and len(asked(clone)) == 2


def test_an_update_that_fails_keeps_the_environment(clone: Path) -> None:
    assert make(clone, "PYTHON=./new").returncode == 0
    (clone / ".venv" / "own.txt").touch()
    (clone / ".venv" / "installed").unlink()
    assert make(clone, "PYTHON=./new", mode="pip").returncode == 2
    assert make(clone, "PYTHON=./new").returncode == 0 and (clone / ".venv" / "own.txt").is_file()


def test_make_removes_nothing_but_environments(clone: Path) -> None:
    answers = clone / "out" / "demo" / "mad" / "review.sqlite"
    answers.parent.mkdir(parents=True)
    answers.write_bytes(b"weeks of work")
    assert make(clone, "PYTHON=./new").returncode == 0
    assert answers.read_bytes() == b"weeks of work"


def test_help_lists_every_target(clone: Path) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)", text, flags=re.MULTILINE)
    lines = make(clone, "help").stdout.splitlines()
    assert sorted(phony.split()) == sorted(line.split()[1] for line in lines if line.startswith("make "))
    assert all(len(line) <= 120 for line in lines)
