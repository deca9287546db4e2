"""Writing files so that a kill at any moment leaves the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

CACHE = "VIT_EDIT_BENCH_CACHE"


def cache_folder() -> Path:
    """The folder of results that are slow to compute, ``$VIT_EDIT_BENCH_CACHE`` or ``~/.cache/vit-edit-bench``.

    All files in it may be deleted at any time.
    """
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "vit-edit-bench")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes `path`'s place, on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        flush(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def leftovers(path: Path) -> list[Path]:
    """Temporary files that `replacing` made for `path`, in processes that still run or were killed."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(path.suffix)}")
    return [file for file in path.parent.glob(".*") if pattern.fullmatch(file.name)] if path.parent.is_dir() else []


def walk(folder: Path, is_left_out: Callable[[str], bool] | None = None) -> Iterator[os.DirEntry[str]]:
    """Yield all that is no folder, in `folder` and below it at any depth; links to folders are not followed.

    Names for which `is_left_out` is True are left out, with all below them.
    """
    waiting = [str(folder)] if folder.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if is_left_out is not None and is_left_out(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    yield entry


def flush(path: Path) -> None:
    """Flush a file or a folder to the disk. Windows cannot flush folders and read-only files; they are left alone."""
    is_windows = os.name == "nt"
    if is_windows and (path.is_dir() or not os.access(path, os.W_OK)):
        return
    handle = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, with the same bytes on every system."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()  # Python 3.10
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
