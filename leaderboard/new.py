"""Write an editor of your own to start from, which runs as it is.

python -m leaderboard.new my_editor.py && python -m leaderboard.check my_editor.py:MyEditor
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Literal

import tyro

import editors
from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.core.files import write_text
from editors.core.third_party import split_file

EXAMPLES = Path(editors.__file__).parent / "examples"


def main(
    file: Annotated[Path, tyro.conf.Positional],
    kind: Literal["weights", "module", "memory", "trained"] = "weights",
) -> None:
    """Write a commented editor of at most 40 lines, class MyEditor, into FILE: change it, then score it.

    weights: other weights, by a changed copy of the model. module: a model with code of its own. memory: no change of
    weights, but an answer of its own where it knows better. trained: it learns first, keeps that in a checkpoint, and
    has a knob.

    Args:
        file: File to write, such as my_editor.py.
        kind: Kind of the editor: what it changes, or that it learns first.
    """
    if split_file(str(file)) != (file, "", ""):
        raise UserError(f"{file} must end in .py, as in my_editor.py, and hold no colon")
    if file.exists() or file.is_symlink():
        raise UserError(f"{file} is here already; name another file, or remove it")
    if hidden := _hidden_module(file):
        raise UserError(f"{file} would hide {hidden} from every program that is started here; name another file")
    write_text(file, (EXAMPLES / f"{kind}.py").read_text(encoding="utf-8"))
    print(f"{file}: change it, then")
    print(f"  python -m leaderboard.check {file}:MyEditor                checks what every editor must keep to")
    print(f"  python -m leaderboard.submit {file}:MyEditor --limit 20    scores it on 20 samples")


def _hidden_module(file: Path) -> str:
    """The module that a file of this name would take the place of, in words; empty where there is none."""
    try:
        spec = importlib.util.find_spec(file.stem)
    except (ImportError, ValueError):  # no name of a module
        return ""
    is_beside = spec is not None and spec.origin is not None and Path(spec.origin).parent == file.absolute().parent
    return "" if spec is None or is_beside else f"Python's module {file.stem}"


if __name__ == "__main__":
    run(main)
