"""The list of all commands, and ``vit-edit-bench``, which prints it or runs one of them.

A command is a file that lies directly in a package (or a room with a ``__main__.py``); its line is the first of its
docstring. Nothing is imported to list them.
"""

from __future__ import annotations

import ast
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.core.errors import unknown
from benchmark.core.streams import make_streams_patient
from benchmark.core.text import printable
from benchmark.core.versions import VERSION

PACKAGES = ("mad", "benchmark", "generation", "editors", "leaderboard")  # in the order in which one needs them


def commands(package: str) -> dict[str, str]:
    """The commands of a package in alphabetical order: the name behind ``python -m``, and a line on what it does."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None  # a package of this project
    folder = Path(spec.origin).parent
    files = {f"{package}.{file.stem}": file for file in folder.glob("*.py") if not file.stem.startswith("_")}
    files |= {f"{package}.{file.parent.name}": file for file in folder.glob("*/__main__.py")}
    return {name: _first_line(file) for name, file in sorted(files.items())}


def show(*packages: str) -> None:
    """Print the commands of some packages, one a line."""
    make_streams_patient()
    listed = {package: commands(package) for package in packages}
    width = max(len(name) for names in listed.values() for name in names)
    for package, names in listed.items():
        print(f"{package}: {_first_line(Path(str(importlib.util.find_spec(package).origin)))}")  # type: ignore[union-attr]
        for name, line in names.items():
            print(f"  python -m {name:<{width}}  {line}")
    print("\nEach has --help. vit-edit-bench COMMAND ... is the same as python -m COMMAND ...")


def main() -> None:
    """``vit-edit-bench``: list all commands, or run one as ``python -m`` does."""
    make_streams_patient()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        show(*PACKAGES)
        return
    if sys.argv[1] == "--version":
        print(f"vit-edit-bench {VERSION}")
        return
    name = sys.argv[1]
    known = {name for package in PACKAGES for name in commands(package)}
    if name not in {*known, *PACKAGES}:
        print(printable(f"error: {unknown('command', name, known)}"), file=sys.stderr)
        sys.exit(2)
    call(sys.argv[1:])


def call(words: Sequence[str]) -> None:
    """Run a command as ``python -m WORDS`` does, in this process.

    Raises `SystemExit` where it ends in an error, which it has then printed.
    """
    before = sys.argv
    sys.argv = [*words]
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    finally:
        sys.argv = before


def _first_line(file: Path) -> str:
    """The first sentence of a module's docstring, without a full stop."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").rstrip(".")
