"""Locks between processes, on every system; a lock ends with its process, however that dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from benchmark.core.errors import UserError


@contextlib.contextmanager
def locked(file: Path, refusal: str, patience: float = 0) -> Iterator[None]:
    """Hold the lock `file`, which is there only meanwhile.

    Raises:
        UserError: with the text `refusal`, if another process holds the lock for longer than `patience` seconds.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise UserError(refusal) from error
    try:
        yield
    finally:
        # While it is held: who waits sees that the file is gone, and makes a new one. On Windows, where no open file
        # is removed, `release` removes it.
        with contextlib.suppress(OSError):
            file.unlink()
        lock.release()
