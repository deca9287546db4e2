"""Replacing a whole folder, so that a kill at any moment leaves the old one or the new one, never a half.

The new folder is made beside the old one, on the same file system, as ``.NAME.building``; the old one is moved
aside to ``.NAME.replaced``, the new one takes its name, and only then is the old one removed. Meanwhile
``.NAME.lock`` keeps other processes out; it lies beside the folders because Windows renames none with an open file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.files import flush
from benchmark.core.locks import locked


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; on success it takes `path`'s place, on failure it is removed.

    The files of a killed run are removed first, and an old folder that it had moved aside is put back.

    Raises:
        UserError: if another process is making the same folder.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    building, replaced = _beside(path, "building"), _beside(path, "replaced")
    with _locked(path):
        building.mkdir(exist_ok=True)
        _put_back(path)
        for leftover in building.iterdir():
            _remove(leftover)
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
        flush(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)


def recover(path: Path) -> None:
    """Put back the folder `path` if a run that was killed between its two renames had moved it aside."""
    path = path.resolve()
    if _beside(path, "replaced").exists():
        with contextlib.suppress(UserError), _locked(path):  # a run at work does it by itself
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
            flush(Path(parent, name))
        flush(Path(parent))


def _beside(path: Path, suffix: str) -> Path:
    return path.parent / f".{path.name}.{suffix}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _locked(path: Path) -> AbstractContextManager[None]:
    return locked(_beside(path, "lock"), f"{path}: another process is making it; wait for it to end")
