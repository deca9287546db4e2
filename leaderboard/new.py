"""Write an editor of your own to start from, which runs as it is.

python -m leaderboard.new my_editor.py && python -m leaderboard.check my_editor.py:MyEditor
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

import editors
from benchmark.core.cli import run
from benchmark.core.code import is_taken
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
    if is_taken(file.stem):
        raise UserError(f"{file} would hide Python's module {file.stem} from programs beside it; name another file")
    write_text(file, (EXAMPLES / f"{kind}.py").read_text(encoding="utf-8"))
    print(f"{file}: change it, then")
    print(f"  python -m leaderboard.check {file}:MyEditor                checks what every editor must keep to")
    print(f"  python -m leaderboard.submit {file}:MyEditor --limit 20    scores it on 20 samples")


if __name__ == "__main__":
    run(main)
