"""Files that a process is not to open, and those of them that it opened."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path


class Watch:
    """Hears for good of each of these files that Python opens in this process, also where it looks empty.

    Libraries that open files by themselves are not heard (see `sys.addaudithook`).
    opened: the files, in the order in which they were first opened.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.opened: list[str] = []
        self._watched = {file.resolve() for file in files}
        self._names = {file.name for file in (*files, *self._watched)}
        if files:
            sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            file = Path(os.fsdecode(arguments[0]))
            if file.name in self._names and file.resolve() in self._watched and str(file) not in self.opened:
                self.opened.append(str(file))
