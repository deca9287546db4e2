"""Modules beside an editor's file: found from any folder, also by relative names, and hiding no other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core.code import ROOT, hash_sources
from benchmark.core.errors import UserError
from editors.core.registry import choose

EDITOR = (
    "from editors import Editor\n\nclass Mine(Editor):\n    def edit(self, model, images, labels): return {value}\n"
)
# how the file names its helper, which lies in each of these places below the file's folder
IMPORTS = {
    "import helper": "helper.py",
    "from helper import NUMBER": "helper.py",
    "from . import helper": "helper.py",
    "from .helper import NUMBER": "helper.py",
    "import parts.helper": "parts/helper.py",
    "from parts import helper": "parts/helper.py",
    "from .parts.helper import NUMBER": "parts/helper.py",
    "import tables": "tables.py",
    "import mini": "mini/__init__.py",
}


def write(folder: Path, first: str, helper: str = "", number: int = 1) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(f"{first}\n{EDITOR}")
    if helper:
        (folder / helper).parent.mkdir(exist_ok=True)
        (folder / helper).write_text(f"NUMBER = {number}\n")
    return f"{folder / 'mine.py'}:Mine"


@pytest.mark.parametrize("first", IMPORTS)
def test_it_is_found_from_another_folder_and_is_part_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    helper = IMPORTS[first]
    spec = write(tmp_path / "own", first, helper)
    (tmp_path / "helper.py").write_text("raise AssertionError('the working folder comes later')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    choose(spec, "mini")
    Path("own/bare.py").write_text(first)  # without all that an editor's file imports of this project
    before = hash_sources([Path("own/bare.py")])
    (tmp_path / "own" / helper).write_text("NUMBER = 10\n")
    after = hash_sources([Path("own/bare.py")])
    assert [name for name in before if before[name] != after[name]] == [
        helper.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    ]


def test_a_file_in_a_package_imports_by_the_packages_name(tmp_path: Path) -> None:
    spec = write(tmp_path / "work" / "deep", "from ..helper import NUMBER\nfrom work.deep import __file__ as where")
    for folder in ("work", "work/deep"):
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "work" / "helper.py").write_text("NUMBER = 3\n")
    choose(spec, "mini")
    bare = tmp_path / "work" / "deep" / "bare.py"
    bare.write_text("from ..helper import NUMBER")
    assert hash_sources([bare]).keys() == {"work", "work.deep", "work.deep.bare", "work.helper"}


def test_two_files_each_have_their_own_helper(tmp_path: Path) -> None:
    both = "from helper import NUMBER\nfrom .helper import NUMBER as SAME\nassert SAME == NUMBER"
    for number in (1, 2, 1):
        editor = choose(write(tmp_path / str(number), both, "helper.py", number), "mini").editor_class
        assert number == sys.modules[editor.__module__].NUMBER


@pytest.mark.parametrize(
    ("first", "helper"),
    [
        ("from editors import WRONG", "editors.py"),
        ("import benchmark\nbenchmark.WRONG", "benchmark.py"),
        ("from numpy import WRONG", "numpy.py"),
        ("import copy\ncopy.WRONG", "copy/__init__.py"),
    ],
)
def test_a_helper_that_has_the_name_of_another_package_is_named_and_hides_nothing(
    tmp_path: Path, first: str, helper: str
) -> None:
    name = helper.removesuffix("/__init__.py")
    with pytest.raises(UserError) as raised:
        choose(write(tmp_path, first, helper), "mini")
    words = f"; {name} beside it has the name of another module, which is taken instead; rename it"
    assert re.search(rf"mine\.py, line \d\){re.escape(words)}$", str(raised.value)), str(raised.value)
    choose(write(tmp_path, "import benchmark, copy, numpy\nbenchmark.load, copy.deepcopy, numpy.zeros"), "mini")


def test_it_is_found_in_the_process_of_an_editor(tmp_path: Path) -> None:
    """By a command as a person types it, from a folder that holds neither."""
    write(tmp_path / "own", "from helper import NUMBER\nfrom .helper import MISSING", "helper.py")
    (tmp_path / "elsewhere").mkdir()
    words = [sys.executable, "-m", "leaderboard.submit", "../own/mine.py:Mine", "--limit", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        words, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 2
    assert "cannot import name 'MISSING' from 'third_party_" in ended.stderr and "(mine.py, line 2)" in ended.stderr
