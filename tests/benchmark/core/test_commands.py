"""The list of commands, and what old names say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core.commands import PACKAGES, commands

ROOT = Path(__file__).parents[3]


def python(*words: str) -> subprocess.CompletedProcess[str]:
    wide = {**os.environ, "COLUMNS": "200"}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=wide, capture_output=True, text=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_its_commands_with_a_line_each(package: str) -> None:
    """The list agrees with git's files, which are read apart from the code that makes it."""
    tracked = subprocess.run(["git", "ls-files", package], cwd=ROOT, capture_output=True, text=True).stdout.split()
    direct = {path.replace("/", ".")[:-3] for path in tracked if path.count("/") == 1 and path.endswith(".py")}
    direct |= {path.replace("/", ".").removesuffix(".__main__.py") for path in tracked if path.count("/") == 2
               and path.endswith("__main__.py")}  # fmt: skip
    assert commands(package).keys() == {name for name in direct if "__" not in name}
    for name, line in commands(package).items():
        assert 10 < len(line) <= 90, f"{name}: {line}"
        assert line[0].isupper() and "python -m" not in line, f"{name}: {line}"


def test_the_bare_call_lists_all() -> None:
    listed = python("-c", "from benchmark.core.commands import main; import sys; sys.argv = ['vit-edit-bench']; main()")
    assert listed.returncode == 0
    for package in PACKAGES:
        for name, line in commands(package).items():
            assert f"python -m {name} " in listed.stdout and line in listed.stdout


def test_it_runs_a_command_as_python_does_and_knows_no_other() -> None:
    run = "from benchmark.core.commands import main; import sys; sys.argv = ['vit-edit-bench', *sys.argv[1:]]; main()"
    assert (
        python("-c", run, "leaderboard.tables", "nowhere").stderr
        == python("-m", "leaderboard.tables", "nowhere").stderr
    )
    wrong = python("-c", run, "leaderboard.sumbit")
    assert wrong.returncode == 2 and 'did you mean "leaderboard.submit"?' in wrong.stderr


@pytest.mark.parametrize("old, new", [
    ("editors.hypernetwork.train", "editors.train hypernetwork"), ("editors.ke.train", "editors.train ke"),
    ("editors.mend.train", "editors.train mend"), ("mad.wordnet", "mad.rebuild wordnet"),
    ("mad.crawling.keywords", "mad.rebuild keywords"), ("benchmark.sources.mini", "benchmark.rebuild drawings"),
    ("benchmark.train_mini", "benchmark.rebuild models"), ("editors.example", "leaderboard.new my_editor.py"),
])  # fmt: skip
def test_a_command_that_moved_says_its_new_name(old: str, new: str) -> None:
    done = python("-m", old, "--help")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"error: {old} has moved: run python -m {new}\n"
    assert python("-m", *new.split(), "--help").returncode == 0


def test_an_editors_file_with_the_old_import_is_told_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from editors.base import Editor\n\nclass Mine(Editor):\n    pass\n")
    done = python("-m", "leaderboard.submit", f"{tmp_path / 'mine.py'}:Mine")
    assert done.returncode == 2
    assert "editors.base has moved: write from editors import Editor" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_editors_lists_every_editor_with_its_knob() -> None:
    from editors.core.registry import built_in

    done = python("-m", "editors")
    assert done.returncode == 0 and "python -m editors.train" in done.stdout
    assert all(any(line.startswith(f"{name} ") for line in done.stdout.splitlines()) for name in built_in())
    assert "sparsity: 0.25, 0.5, 0.75, 0.9, 0.95" in " ".join(done.stdout.split())
