"""Locks between processes, on every system; a lock ends with its process, however that dies."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.files import cannot_write
from benchmark.core.readers import Unreadable, read_text


@contextlib.contextmanager
def locked(file: Path, path: Path, fix: str = "wait for it to end", patience: float = 0) -> Iterator[None]:
    """Hold the lock `file`, which is there only meanwhile and says who holds it: who does may change `path`.

    Raises:
        UserError: with `fix`, if another process holds the lock for longer than `patience` seconds.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        with cannot_write(path):
            lock.acquire(timeout=patience)
    except Timeout as error:
        raise UserError(f"{path}: another process is at work there{_describe_holder(file)}; {fix}") from error
    try:
        with contextlib.suppress(OSError):  # a full disk: nobody is told then
            now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
            file.write_text(f"process {os.getpid()} on {platform.node()}, since {now}", encoding="utf-8")
        yield
    finally:
        # While it is held: who waits sees that the file is gone, and makes a new one. On Windows, where no open file
        # is removed, `release` removes it.
        with contextlib.suppress(OSError):
            file.unlink()
        lock.release()


def _describe_holder(file: Path) -> str:
    with contextlib.suppress(Unreadable):
        if holder := read_text(file).strip():
            return f" ({holder})"
    return ""
