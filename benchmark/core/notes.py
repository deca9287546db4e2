"""Notes on standard error: the warnings that our modules log, and all from `INFO` on while a command runs.

A program that imports the packages reads the same warnings, as it does of other libraries that load models; to be rid
of them: ``logging.getLogger("benchmark").setLevel(logging.ERROR)``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.core.terminal import one_line

OURS = ("benchmark", "mad", "generation", "editors", "leaderboard")


class NoteHandler(logging.Handler):
    """Writes each record as "note: ..." to standard error, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        from tqdm.auto import tqdm

        tqdm.write(f"note: {one_line(record.getMessage())}", file=sys.stderr)


def install() -> None:
    """Show the warnings of all packages from now on; called once, when the first of them is imported."""
    handler = NoteHandler()
    for name in OURS:
        logging.getLogger(name).addHandler(handler)


@contextmanager
def all_notes() -> Iterator[None]:
    """Show what is logged from `INFO` on, also by the module that runs as a script.

    A command that a command calls shows its notes once.
    """
    script, handler = logging.getLogger("__main__"), NoteHandler()
    loggers = [script, *(logging.getLogger(name) for name in OURS)]
    levels = [logger.level for logger in loggers]
    if not any(isinstance(each, NoteHandler) for each in script.handlers):
        script.addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        script.removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
