"""Editors of installed packages: chosen by name, known by their package, and refused in one line."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.core import cli
from benchmark.core.code import hash_sources, installed_folders
from benchmark.core.errors import UserError
from editors import __main__ as listing
from editors.core.registry import choose, installed
from leaderboard import submit
from leaderboard.records.runs import find_runs

CODE = '''
from dataclasses import dataclass
from editors import Editor, WeightEdit, knob
from their_package.helper import SHIFT

@dataclass(frozen=True)
class Config:
    scale: float = knob(2.0, sweep=(1.0, 2.0))

class Theirs(Editor):
    """Lifts the right class."""
    Config = Config
    def edit(self, model, images, labels):
        bias = model.head.bias.clone()
        bias[labels] += SHIFT * self.config.scale
        return WeightEdit({"head.bias": bias})

class Unfinished(Editor):
    pass

NUMBER = 5
'''
FILES = {
    "their_package/__init__.py": "",
    "their_package/editor.py": CODE,
    "their_package/helper.py": "SHIFT = 10.0\n",
    "their_package/numbers.bin": "0123",
    "their_package/template.py": "{{ no code }} of Python\n",
    "their_package/breaks.py": "import nowhere_at_all\n",
    "their_package/exits.py": "raise SystemExit(3)\n",
}
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package on Python's path as pip leaves it, without RECORD, as an editable install is."""

    def install(entries: str, package: str = "their-package", version: str = "1.2", code: bool = True) -> Path:
        folder = tmp_path / f"site-{package}-{version}"
        for name, text in (FILES if code else {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[vit_edit_bench.editors]\n{entries}\n")
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_package"]:
        del sys.modules[name]


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Output of `leaderboard.submit` on a little data and, where it fails, its last line."""
    capsys.readouterr()
    try:
        cli.run(submit.main, [*words, "--data", "noise", "--limit", "2", "--out", "out"])
    except SystemExit as stop:
        assert stop.code == 2
    printed = capsys.readouterr()
    return printed.out, printed.err.rstrip("\n").split("\n")[-1].rpartition("\r")[2]


def test_it_is_scored_by_its_name_and_known_by_its_package(
    install: Install,
    small_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = install("their-method = their_package.editor:Theirs")
    monkeypatch.chdir(tmp_path)
    out, error = run(["their-method:scale=1"], capsys)
    assert "their-method:scale=1.0 (their-package 1.2)" in " ".join(out.split()), error
    ((_, record),) = find_runs([tmp_path / "out"])
    assert (record.editor.name, record.editor.knob, record.protocol.in_process) == ("their-method", "scale", False)
    assert (record.editor.package.name, record.editor.package.version) == ("their-package", "1.2")
    hashed = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in FILES.items()}
    assert record.editor.package.files == hashed
    assert "their_package" not in sys.modules, "the judge never imported it"
    run(["their-method:scale=1"], capsys)
    assert len(find_runs([tmp_path / "out"])) == 1, "the same package is the same run"
    (folder / "their_package" / "numbers.bin").write_text("4567")
    run(["their-method:scale=1"], capsys)
    assert len(find_runs([tmp_path / "out"])) == 2, "another file of it is another"


REFUSED = {
    "a built-in's name": ("ft = their_package.editor:Theirs", "ft", 'offers an editor called "ft"'),
    "another spelling of one": ("FT = their_package.editor:Theirs", "FT", "that is one of this project"),
    "the word for all": ("all = their_package.editor:Theirs", "all", ""),
    "no such module": ("mine = their_package.nowhere:Theirs", "mine", "No module named 'their_package.nowhere'"),
    "no such class": ("mine = their_package.editor:Thiers", "mine", "no attribute 'Thiers'"),
    "no editor": ("mine = their_package.editor:NUMBER", "mine", "is no editor"),
    "unfinished": ("mine = their_package.editor:Unfinished", "mine", "lacks the method edit"),
    "no class": ("mine = their_package.editor", "mine", "must be module:Class"),
    "it breaks": ("mine = their_package.breaks:Theirs", "mine", "No module named 'nowhere_at_all'"),
    "it exits": ("mine = their_package.exits:Theirs", "mine", "SystemExit: 3"),
    "no name": ("a b = their_package.editor:Theirs", "a b", "a name is letters"),
    "a file's name": ("mine.py = their_package.editor:Theirs", "mine.py", "no such file"),
    "no line": ("mine", "mine", "their-package: its entry points cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_chosen_is_one_line(
    name: str,
    install: Install,
    small_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries, spec, line = REFUSED[name]
    install(entries)
    monkeypatch.chdir(tmp_path)
    if spec != "all":
        _, error = run([spec], capsys)
        assert error.startswith("error: ") and line in error and not (tmp_path / "out").exists(), error
    choose("null-edit", "mini")  # what is refused stands in nobody's way
    listing.main()
    printed = " ".join(capsys.readouterr().out.split())
    assert "null-edit" in printed and ("not usable: " in printed or "cannot be read" in printed)


def test_two_packages_that_offer_one_name(install: Install) -> None:
    install("mine = their_package.editor:Theirs")
    install("Mine = their_package.editor:Theirs", "other-package", "3", code=False)
    for spec in ("mine", "Mine"):
        with pytest.raises(UserError, match=f'"{spec}" is offered by other-package 3 and their-package 1.2'):
            choose(spec, "mini")


def test_of_two_releases_of_a_package_python_imports_the_first(install: Install) -> None:
    install("mine = their_package.editor:Theirs")
    install("mine = their_package.editor:Theirs", version="1.3")
    assert installed()["mine"].origin == "their-package 1.3" and choose("mine", "mini").make().config.scale == 2


def test_it_stands_in_lists_and_a_slip_finds_it(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("their-method = their_package.editor:Theirs")
    monkeypatch.setenv("COLUMNS", "200")
    listing.main()
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("their-method"))
    assert "Lifts the right class. (their-package 1.2)" in row and "scale: 1, 2" in row
    with pytest.raises(UserError, match='no editor is called "their-methd"; did you mean "their-method"'):
        choose("their-methd", "mini")


def test_a_wheel_that_pip_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own files are those that its RECORD lists; what lies beside them is not."""
    wheel, info = tmp_path / "their_package-2.0-py3-none-any.whl", "their_package-2.0.dist-info"
    notes = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: their-package\nVersion: 2.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[vit_edit_bench.editors]\ntheir-method = their_package.editor:Theirs\n",
        f"{info}/RECORD": "".join(f"{name},,\n" for name in (*FILES, f"{info}/METADATA")),
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**FILES, **notes}.items():
            archive.writestr(name, text)
    target = tmp_path / "site"
    words = ("install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(target), str(wheel))
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    (target / "their_package" / "later.py").write_text("")
    monkeypatch.syspath_prepend(str(target))
    offer = installed()["their-method"]
    assert offer.origin == "their-package 2.0" and offer.hashes().keys() == FILES.keys()
    assert [file.name for file in offer.sources] == ["__init__.py", "breaks.py", "editor.py", "exits.py", "helper.py"]


def test_code_of_an_installed_file_is_followed_into_no_other_package(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install("mine = their_package.editor:Theirs")
    (folder / "other").mkdir()
    (folder / "other" / "__init__.py").write_text("")
    (folder / "their_package" / "editor.py").write_text("import other\nimport editors.core.edit\n")
    folders = installed_folders()
    monkeypatch.setattr("benchmark.core.code.installed_folders", lambda: [*folders, folder])
    names = hash_sources([folder / "their_package" / "editor.py"]).keys()
    assert {"their_package.editor", "editors.core.edit"} <= names and "other" not in names
