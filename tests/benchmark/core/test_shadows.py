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


@pytest.mark.parametrize("package", ["mad", "generation", "editors", "leaderboard"])
def test_what_hides_the_package_that_says_so_is_named_by_the_others(package: str, tmp_path: Path) -> None:
    """Without an editable installation, whose finder knows the rooms of ours in any folder."""
    file = tmp_path / "benchmark" / "__init__.py"
    file.parent.mkdir()
    file.touch()
    code = f"import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f)]; import {package}"
    done = python(tmp_path, "-c", code)
    assert done.stderr.endswith(f"ImportError: {file} hides this project's package benchmark; rename it\n")


def test_a_folder_without_modules_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "editors").mkdir()
    assert python(tmp_path, "-m", "leaderboard.tables", "--version").returncode == 0
