"""The file and line of code that is not this project's: where a stranger's code broke, or is defined."""

from __future__ import annotations

import inspect
import re
import traceback
from pathlib import Path
from typing import Any

from benchmark.core.code import PACKAGES, ROOT, installed_folders

PLACE = re.compile(r" \([^()]+, line \d+\)")


def raised_at(error: BaseException, source: Path | None = None) -> str:
    """Return `` (my_editor.py, line 12)``: the innermost line of a stranger's code, or of `source`, that raised.

    Empty where no such line took part.
    """
    frame = strangers_frame(error, source)
    return f" ({Path(frame.filename).name}, line {frame.lineno})" if frame else ""


def strangers_frame(error: BaseException, source: Path | None = None) -> traceback.FrameSummary | None:
    """The frame of that line, with its code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == source or _is_strangers(Path(frame.filename))]
    return own[-1] if own else None


def located(message: str, where: str) -> str:
    """The message with `where`, the place of a line in brackets, unless it names a place already."""
    return message if PLACE.search(message) else message + where


def defined_at(function: Any) -> str:
    """Return `` (my_editor.py, line 12)``: the first line of a stranger's function, or of a module's forward.

    Empty for this project's code and that of installed packages.
    """
    if not inspect.isroutine(function):
        function = getattr(type(function), "forward", None) or type(function).__call__
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or not _is_strangers(Path(code.co_filename)):
        return ""
    return f" ({Path(code.co_filename).name}, line {code.co_firstlineno})"


def _is_strangers(file: Path) -> bool:
    """Return whether a file is neither this project's nor Python's nor an installed package's."""
    folders = [*installed_folders(), *((ROOT / name).resolve() for name in PACKAGES)]
    return file.is_file() and not any(file.resolve().is_relative_to(folder) for folder in folders)
