"""Replacing a whole folder, so that a kill at any moment leaves the old one or the new one, never a half.

The new folder is made beside the old one, on the same file system, as ``.NAME.building``; the old one is moved
aside to ``.NAME.replaced``, the new one takes its name, and only then is the old one removed. Meanwhile
``.NAME.lock`` keeps other processes out; it lies beside the folders because Windows renames none with an open file.
``.NAME.made-from`` says that ``.NAME.building`` is ours, and from what it is made.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.files import cannot_write, flush, write_text
from benchmark.core.locks import locked
from benchmark.core.readers import read_text
from benchmark.core.stopping import ANEW, going_on

NOTE = "made-from"  # beside the new folder, as long as it is made; empty, if nobody is to go on with it
GOES_ON = "the same command goes on with what is made"


@contextlib.contextmanager
def replacing_folder(path: Path, note: str = "") -> Iterator[Path]:
    """Give a folder beside `path`; on success it takes `path`'s place, on failure it is removed.

    What killed runs left beside it is removed first, and an old folder that one had moved aside is put back. With a
    `note`, which names all that can change what is made, nothing is removed that was made under the same note: the
    caller goes on with it.

    Raises:
        UserError: if another process is making the same folder, or it cannot be written.
    """
    path = path.resolve()
    building, replaced = _beside(path, "building"), _beside(path, "replaced")
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
    with _locked(path), cannot_write(path):
        _put_back(path)
        _begin(path, note)
        try:
            with going_on(lambda: GOES_ON if note else ANEW):
                yield building
            sync(building)
            if path.exists():
                path.rename(replaced)
            building.rename(path)
        except BaseException:
            _put_back(path)
            if not note:
                _give_up(path)
            raise
        flush(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)
        _give_up(path)


def recover(path: Path) -> None:
    """Put back the folder `path` if a run that was killed between its two renames had moved it aside.

    What a run left that was killed after them is removed.
    """
    path = path.resolve()
    if any(_beside(path, suffix).exists() for suffix in ("replaced", "lock", NOTE)):
        with contextlib.suppress(UserError), _locked(path):  # a run at work does it by itself
            _put_back(path)
            if not _beside(path, "building").exists():
                _give_up(path)


def _begin(path: Path, note: str) -> None:
    """Make the new folder, empty, unless what is in it was made under the same note."""
    building, file = _beside(path, "building"), _beside(path, NOTE)
    is_kept = note and file.is_file() and read_text(file) == note
    if building.exists() and not is_kept:
        for leftover in building.iterdir():
            _remove(leftover)
    write_text(file, note)
    building.mkdir(exist_ok=True)


def _give_up(path: Path) -> None:
    """Remove the new folder and its note, as far as it can be done."""
    shutil.rmtree(_beside(path, "building"), ignore_errors=True)
    with contextlib.suppress(OSError):
        _beside(path, NOTE).unlink(missing_ok=True)


def _remove_abandoned(parent: Path) -> None:
    """Remove new folders of killed runs that nobody goes on with, whatever they were to become."""
    for file in parent.glob(f".*.{NOTE}"):
        if not read_text(file):
            path = parent / file.name.removeprefix(".").removesuffix(f".{NOTE}")
            with contextlib.suppress(UserError), _locked(path):  # a run at work holds it
                _put_back(path)
                _give_up(path)


def _put_back(path: Path) -> None:
    replaced = _beside(path, "replaced")
    if replaced.exists() and not path.exists():
        replaced.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def discard(path: Path) -> None:
    """Remove a folder; a kill leaves all of it, or what the next call removes."""
    doomed = _beside(path, "replaced")
    shutil.rmtree(doomed, ignore_errors=True)
    with cannot_write(path):
        path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


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
    return locked(_beside(path, "lock"), path)
