"""A file of the user's that has the name of one of our packages is named in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("hiding", ["editors.py", "editors/__init__.py", "mad.py"])
def test_what_hides_a_package_is_named(hiding: str, tmp_path: Path) -> None:
    file = tmp_path / hiding
    file.parent.mkdir(exist_ok=True)
    file.touch()
    name = hiding.split("/")[0].removesuffix(".py")
    done = python(tmp_path, "-m", "leaderboard.submit", "--help")
    line = f"{file} hides this project's package {name}; rename it, or work in another folder"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {line}\n")
    assert python(tmp_path, "-c", "import benchmark").stderr.endswith(f"ImportError: {line}\n")


def test_a_folder_without_modules_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "editors").mkdir()
    assert python(tmp_path, "-m", "leaderboard.tables", "--version").returncode == 0
