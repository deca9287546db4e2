"""Working folders: each holds one thing (a run, a search, a crawl), and a note in it describes that thing.

Every command that writes into a folder asks here whether the folder is its own, so that no two things mix their
files and nothing of the user's is overwritten. The note is written first and atomically; a kill at any moment leaves
a folder that the same command goes on with.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.checksums import SUMS, names_below, read_checksums
from benchmark.core.errors import UserError
from benchmark.core.files import cannot_write, is_unfinished, remove_unfinished, write_text
from benchmark.core.locks import locked
from benchmark.core.readers import Unreadable, read_json
from benchmark.core.stopping import going_on
from benchmark.core.text import printable

LOCK = ".work.lock"  # in the folder, as long as a process works in it
OF_THE_SYSTEM = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))  # file browsers leave these in any folder
NOBODYS = frozenset((LOCK, *OF_THE_SYSTEM))
PATIENCE = 10.0  # seconds for another process to write its note, which takes milliseconds


@dataclass(frozen=True)
class Kind:
    """One kind of working folder.

    name: one thing of this kind, in words, such as "run".
    note: the file that describes what the folder holds.
    identity: the key of the note whose value must stay the same; the rest is brought up to date. None: all of it.
    fix: what a user can do about a folder that is taken.
    beside: names of files that may lie in a folder before it is claimed, and that go when it is replaced.
    """

    name: str
    note: str
    identity: str | None = None
    fix: str = "name another --out, or delete it"
    beside: frozenset[str] = frozenset()


@contextlib.contextmanager
def working(folder: Path, kind: Kind, note: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[bool]:
    """`claim` a folder and hold it, so that no other process works in it meanwhile.

    What killed processes left unfinished is removed. A folder that is this thing's already and cannot be written, such
    as a finished run on a read-only disk, is not held: nobody else can work in it.

    Raises:
        UserError: if another process does, or as `claim`.
    """
    if not overwrite and holds(folder, kind, note) and not os.access(folder, os.W_OK):
        yield True
        return
    _make(folder, kind)
    with (
        locked(folder / LOCK, folder, f"wait for it to end, or {kind.fix.partition(',')[0]}"),
        going_on(lambda: f"the same command goes on with what is done in {folder}"),
    ):
        remove_unfinished(folder)
        yield _claim(folder, kind, note, overwrite)


def claim(folder: Path, kind: Kind, note: Mapping[str, Any], *, overwrite: bool = False) -> bool:
    """Make `folder` the working folder of the thing that `note` describes; return whether it was so already.

    Args:
        folder: made if it is not there.
        kind: what is worked on.
        note: plain JSON, kept in the folder's `kind.note`. Keys that an earlier note alone has are kept.
        overwrite: take the folder whatever it holds; its files stay until they are written again.

    Raises:
        UserError: if the folder holds something else, as `holds` finds it.
    """
    if not overwrite and holds(folder, kind, note):  # it is ours, and no lock stands in a resumed run's way
        return _claim(folder, kind, note, overwrite)
    _make(folder, kind)
    with locked(folder / LOCK, folder, patience=PATIENCE):
        return _claim(folder, kind, note, overwrite)


def _make(folder: Path, kind: Kind) -> None:
    if folder.exists() and not folder.is_dir():
        raise taken(folder, "must be a folder, not a file", kind.fix)
    with cannot_write(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _claim(folder: Path, kind: Kind, note: Mapping[str, Any], overwrite: bool) -> bool:
    if not overwrite and holds(folder, kind, note):
        earlier = _read(folder, kind)
        if (merged := {**earlier, **_plain(note)}) != earlier:
            _write(folder, kind, merged)
        return True
    _write(folder, kind, _plain(note))
    return False


def holds(folder: Path, kind: Kind, note: Mapping[str, Any] | None = None) -> bool:
    """Return whether `folder` holds such a thing already; False if it is empty or not there.

    With `note`, it must be the one that `note` describes. Temporary files that a killed process left of its note do
    not count.

    Raises:
        UserError: if the folder holds something else, or its note is damaged or names another thing.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise taken(folder, "must be a folder, not a file", kind.fix)
    is_claimed = (folder / kind.note).is_file()
    if not is_claimed:
        _refuse_strangers(folder, kind)
    if is_claimed and note is not None:
        refuse_other(folder, kind.name, _identity(_read(folder, kind), kind), _identity(_plain(note), kind), kind.fix)
    return is_claimed


def check_replaceable(
    folder: Path, kind: Kind, note: Mapping[str, Any] | None = None, inputs: Iterable[Path] = ()
) -> None:
    """Raise `UserError` unless `folder` may be replaced as a whole.

    It may if it is not there or empty, or holds what `holds` accepts and nothing that its list of files lacks
    (`benchmark.core.checksums`), is no checkout of git, and none of the `inputs` lies in it.
    """
    for path in inputs:
        if path.resolve().is_relative_to(folder.resolve()):
            raise taken(folder, f"will be replaced as a whole, and {path} lies in it", "name another --out")
    if not holds(folder, kind, note):
        return
    if (folder / ".git").exists():
        raise taken(folder, "is a checkout of git", kind.fix)
    ours = {kind.note, SUMS, *read_checksums(folder)}
    nobodys = NOBODYS | kind.beside
    strangers = (name for name in names_below(folder) if name not in ours and Path(name).name not in nobodys)
    if stranger := next(strangers, None):
        raise taken(folder, f"holds {printable(stranger)}, which no {kind.name} made, as {SUMS} tells", kind.fix)


def check_empty(folder: Path, fix: str = Kind.fix) -> None:
    """Raise `UserError` unless `folder` is empty or not there."""
    if folder.exists() and not folder.is_dir():
        raise taken(folder, "must be a folder, not a file", fix)
    if folder.is_dir() and (names := _names(folder)):
        raise taken(folder, f"is not empty: it holds {printable(names[0])}", fix)


def refuse_other(path: Path, name: str, old: Mapping[str, Any], new: Mapping[str, Any], fix: str = Kind.fix) -> None:
    """Raise `UserError` if the `name` that `path` holds, described by `old`, is not the one described by `new`."""
    if where := difference(old, new):
        raise taken(path, f"holds another {name} ({where})", fix)


def taken(folder: Path, why: str, fix: str = Kind.fix) -> UserError:
    """A `UserError` for a folder that cannot be taken: the reason, then the fix."""
    return UserError(f"{folder} {why}; {fix}")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in NOBODYS)


def _refuse_strangers(folder: Path, kind: Kind) -> None:
    if strangers := [name for name in _names(folder) if name not in kind.beside and not is_unfinished(name)]:
        raise taken(folder, f"holds {printable(strangers[0])}, which no {kind.name} made", kind.fix)


def _plain(note: Mapping[str, Any]) -> dict[str, Any]:
    """A note as it is read back from its file."""
    return json.loads(json.dumps(note))


def _read(folder: Path, kind: Kind) -> dict[str, Any]:
    try:
        note = read_json(folder / kind.note)
    except Unreadable:
        note = {}
    if not note or kind.identity not in {None, *note}:
        raise taken(folder / kind.note, f"is damaged and does not say which {kind.name} {folder} holds", kind.fix)
    return note


def _write(folder: Path, kind: Kind, note: Mapping[str, Any]) -> None:
    write_text(folder / kind.note, json.dumps(note, indent=2) + "\n")


def _identity(note: dict[str, Any], kind: Kind) -> dict[str, Any]:
    if kind.identity is None:
        return note
    value = note[kind.identity]
    return value if isinstance(value, dict) else {kind.identity: value}


def difference(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> str:
    """The first value in which two notes differ, in words; empty if none does."""
    for name in (*new, *(name for name in old if name not in new)):
        old_value, new_value = old.get(name), new.get(name)
        if isinstance(old_value, dict) and isinstance(new_value, dict):
            if inner := difference(old_value, new_value, f"{path}{name}."):
                return inner
        elif json.dumps(old_value) != json.dumps(new_value):  # as text, since NaN is not equal to itself
            return f"its {path}{name} is {old_value}, yours is {new_value}"
    return ""
