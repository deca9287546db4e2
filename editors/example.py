"""Write the example of an editor of your own, a file to start from.

python -m editors.example && python -m leaderboard.submit my_editor.py:MyEditor --limit 20
"""

from __future__ import annotations

from pathlib import Path

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.core.files import write_text

EXAMPLE = Path(__file__).parent / "examples" / "my_editor.py"


def main(out: options.Out = Path("my_editor.py")) -> None:
    """Write an editor of one's own into the file OUT: README shows it; change it, then score it."""
    if out.exists():
        raise UserError(f"{out} is here already; name another --out, or remove it")
    write_text(out, EXAMPLE.read_text(encoding="utf-8"))
    print(f"{out}: change it, then score it: python -m leaderboard.submit {out}:MyEditor --limit 20")


if __name__ == "__main__":
    run(main)
