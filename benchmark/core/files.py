"""Writing files so that a kill at any moment leaves the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmark.core.errors import UserError, nearest

ASSETS = Path(__file__).parents[1] / "assets"  # the embedded benchmarks and models
CACHE = "VIT_EDIT_BENCH_CACHE"
MAKE_ROOM = "make room there or mend its rights, then repeat it: what was there is as it was"
UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}\.unfinished(\.[^.]*)?")
DAY = 86_400  # seconds
_swept: set[Path] = set()  # folders that this process has rid of what others left


def cache_folder() -> Path:
    """The folder of results that are slow to compute, ``$VIT_EDIT_BENCH_CACHE`` or ``~/.cache/vit-edit-bench``.

    All files in it may be deleted at any time.
    """
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "vit-edit-bench")


@contextlib.contextmanager
def replacing(path: Path, fix: str = MAKE_ROOM) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes `path`'s place, on failure it is removed.

    What killed processes left unfinished in that folder is removed first.

    Raises:
        UserError: with `fix`, if the file cannot be written.
    """
    with cannot_write(path, fix):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _swept:
            remove_unfinished(path.parent)
            _swept.add(path.parent)
        handle, name = tempfile.mkstemp(f".unfinished{path.suffix}", f".{path.name}.", path.parent)
        temporary = Path(name)
        is_locked = _lock(handle)
        if not is_locked:
            os.close(handle)
        try:
            yield temporary
            flush(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            if is_locked:
                os.close(handle)
            with contextlib.suppress(OSError):  # whoever writes in this folder next removes it otherwise
                temporary.unlink()


@contextlib.contextmanager
def cannot_write(path: Path, fix: str = MAKE_ROOM) -> Iterator[None]:
    """Turn the system's error on writing `path` into one line that names it.

    Raises:
        UserError: with `fix`, for an `OSError` that names no file, or `path`, or what is made beside or below it.
    """
    try:
        yield
    except shutil.Error as error:  # of a copied folder: a list of what could not be copied
        raise UserError(f"{path} cannot be written ({error.args[0][0][2]}); {fix}") from error
    except OSError as error:
        if not _is_about(error, path):
            raise
        raise UserError(f"{path} cannot be written ({error.strerror or error}); {fix}") from error


def _is_about(error: OSError, path: Path) -> bool:
    if error.filename is None:
        return error.errno is not None
    file, path = Path(os.fsdecode(error.filename)).absolute(), path.absolute()
    is_beside = any(part.startswith(f".{path.name}.") for part in file.parts)
    return is_beside or path.is_relative_to(file) or file.is_relative_to(path)


def is_unfinished(name: str) -> bool:
    """Return whether `replacing` gives such a name to a temporary file."""
    return UNFINISHED.fullmatch(name) is not None


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of `replacing` in `folder` whose processes are dead, as far as that can be told."""
    for file in folder.iterdir():
        if is_unfinished(file.name):
            with contextlib.suppress(OSError):
                if _is_abandoned(file):
                    file.unlink()


def _lock(handle: int) -> bool:
    """Lock a temporary file for as long as this process lives, if it can be done.

    On Windows it cannot: nothing else could write it.
    """
    if os.name == "nt":
        return False
    from filelock import lock_descriptor

    with contextlib.suppress(OSError):  # a file system without locks
        return lock_descriptor(handle, blocking=False)
    return False


def _is_abandoned(file: Path) -> bool:
    if os.name == "nt":
        return time.time() - file.stat().st_mtime > DAY
    from filelock import lock_descriptor

    with file.open("r+b") as opened:
        return lock_descriptor(opened.fileno(), blocking=False)


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


def near_path(path: Path) -> Path | None:
    """The path that was likely meant by one that is not there: with another spelling of the part that is missing."""
    chain = [path, *path.parents]
    for missing, parent in reversed([*itertools.pairwise(chain)]):
        try:
            if missing.exists() or not parent.is_dir():
                continue
            close = nearest(missing.name, (entry.name for entry in parent.iterdir()), cutoff=0.75)
            meant = parent / close / path.relative_to(missing) if close else None
            return meant if meant is not None and meant.exists() else None
        except (OSError, ValueError):  # a name that is none, a folder that may not be read
            return None
    return None


def like(path: Path) -> str:
    """Return `` (did you mean out/mini?)`` for a path that is not there, if there is one like it; else nothing."""
    meant = near_path(path)
    return f" (did you mean {meant}?)" if meant else ""


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
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes, fix: str = MAKE_ROOM) -> None:
    """Write `data` to `path` atomically.

    Libraries that write files by themselves (torch, safetensors) do not say that the disk is full; let them make bytes.
    """
    with replacing(path, fix) as temporary:
        temporary.write_bytes(data)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()  # Python 3.10
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
