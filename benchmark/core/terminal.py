"""The terminal as commands use it: text from outside shows there and never controls it."""

from __future__ import annotations

import sys
import traceback
from contextlib import AbstractContextManager, redirect_stdout
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO, cast

from benchmark.core.text import printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 2_000  # characters of a line on standard error


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


def console() -> Console:
    """A console of rich for tables, whose text is plain: no markup, no emoji codes, no control characters."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(printable_lines(text), **settings)

    return PlainConsole(markup=False, emoji=False, highlight=False)
