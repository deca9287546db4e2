"""Replacing a whole folder, so that a kill at any moment leaves the old one or the new one, never a half.

The new folder is made beside the old one, on the same file system, as ``.NAME.building``; the old one is moved
aside to ``.NAME.replaced``, the new one takes its name, and only then is the old one removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmark.core.errors import UserError


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; on success it takes `path`'s place, on failure it is removed.

    What a killed run left is cleaned up first, and an old folder that it had moved aside is put back.

    Raises:
        UserError: if another process is making the same folder.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    building, replaced = _beside(path, "building"), _beside(path, "replaced")
    building.mkdir(exist_ok=True)
    with _locked(building, path):
        _put_back(path)
        for left in building.iterdir():
            _remove(left)
        try:
            yield building
            sync(building)
            if path.exists():
                path.rename(replaced)
            building.rename(path)
        except BaseException:
            _put_back(path)
            shutil.rmtree(building, ignore_errors=True)
            raise
        _sync_one(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)


def recover(path: Path) -> None:
    """Put back the folder `path` if a run that was killed between its two renames had moved it aside."""
    path = path.resolve()
    building = _beside(path, "building")
    if not building.exists():
        _put_back(path)
        return
    with contextlib.suppress(UserError), _locked(building, path):  # a run at work does it by itself
        _put_back(path)


def _put_back(path: Path) -> None:
    replaced = _beside(path, "replaced")
    if replaced.exists() and not path.exists():
        replaced.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def sync(folder: Path) -> None:
    """Flush every file and folder in `folder`, and `folder` itself, to the disk."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync_one(Path(parent, name))
        _sync_one(Path(parent))


def _beside(path: Path, what: str) -> Path:
    return path.parent / f".{path.name}.{what}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(building: Path, path: Path) -> Iterator[None]:
    """Hold an advisory lock on the folder being made; the kernel drops it when its process dies."""
    import fcntl

    handle = os.open(building, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{path}: another process is making it; wait for it to end") from error
        yield
    finally:
        os.close(handle)
