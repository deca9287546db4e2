"""The terminal as commands use it: text from outside shows there and never controls it."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, redirect_stdout
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO, cast

from benchmark.core.text import printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 2_000  # characters of a line on standard error
GAP = 2  # blanks behind a column
NAMES = 0.4  # share of a screen that names may take before a column of numbers is left out
LEAST = 12  # columns that names always have


class _Visible:
    """A stream that makes all but line ends printable."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # where rich writes: `console` makes its text printable, and the colours stay
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable_lines(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def printing_visibly() -> AbstractContextManager[TextIO]:
    """Let `print` show control characters as escapes."""
    return redirect_stdout(cast(TextIO, _Visible(sys.stdout)))


def one_line(message: str) -> str:
    """A message on one line that a terminal shows as it is; the middle of one that is too long is left out."""
    line = printable(" ".join(message.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write an error's traceback to standard error, as `sys.excepthook`."""
    sys.stderr.write(printable_lines("".join(traceback.format_exception(kind, error, trace))))


def console(width: int | None = None) -> Console:
    """A console of rich for tables, whose text is plain: no markup, no emoji codes, no control characters."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(printable_lines(text), **settings)

    return PlainConsole(markup=False, emoji=False, highlight=False, width=width)


def is_screen() -> bool:
    """True if standard output has a width: that of a terminal, or COLUMNS. A pipe or file gets tables whole."""
    return console().is_terminal or os.environ.get("COLUMNS", "").isdigit()


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], drop: Sequence[str] = (), n_text: int = 1) -> None:
    """Print a table with one header line, in which no number is wrapped.

    On a narrow screen the columns of `drop` are left out, the least telling first, and named below; then the names in
    the first column fold. The first `n_text` columns are texts and stand left.
    """
    from rich.cells import cell_len
    from rich.table import Table

    lines = [[printable(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    room = console().width if is_screen() else sum(widths) + GAP * len(widths)
    shown, dropped = list(range(len(header))), []
    names = min(widths[0], max(LEAST, int(NAMES * room)))
    for name in (name for name in drop if name in header):
        if names + sum(GAP + widths[n] for n in shown[1:]) <= room:
            break
        shown.remove(list(header).index(name))
        dropped.append(name)
    names = min(widths[0], max(LEAST, room - sum(GAP + widths[n] for n in shown[1:])))
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    for n in shown:
        table.add_column(
            lines[0][n],
            justify="left" if n < n_text else "right",
            width=widths[n] if n else names,
            no_wrap=n > 0,
            overflow="fold",
        )
    for line in lines[1:]:
        table.add_row(_folded(line[0], names), *(line[n] for n in shown[1:]))
    console(max(room, names + sum(GAP + widths[n] for n in shown[1:]))).print(table)
    if dropped:
        console().print(f"left out at {room} columns: {', '.join(dropped)}")


def _folded(name: str, width: int) -> str:
    """A name on lines that end where its words and settings do, as far as they are then not wider than `width`."""
    from rich.cells import cell_len

    lines = [""]
    for piece in re.split(r"(?<=[:,/\\ =_])|(?<=-)(?=[a-zA-Z])|(?=\.[a-zA-Z])", name):
        if lines[-1].strip() and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("  ")
        lines[-1] += piece
    return "\n".join(lines)
