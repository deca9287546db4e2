"""`SHA256SUMS`: the files that a command wrote into a folder, so that it removes these and no other ones.

It is what ``sha256sum -c`` reads: a line a file, with the hash of its bytes and its path below the folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmark.core.files import sha256, walk, write_text
from benchmark.core.readers import Unreadable, read_text

SUMS = "SHA256SUMS"


def write_checksums(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write the list of the files `names` (with ``/``), by default of all that are in the folder and below it."""
    listed = names_below(folder) if names is None else names
    lines = [f"{sha256(folder / name)}  {name}\n" for name in sorted({*listed} - {SUMS})]
    write_text(folder / SUMS, "".join(lines))


def read_checksums(folder: Path) -> dict[str, str]:
    """The hash of each file that is listed; none where there is no list that can be read."""
    try:
        lines = read_text(folder / SUMS).split("\n")
    except Unreadable:
        return {}
    return {name: digest for digest, gap, name in (line.partition("  ") for line in lines) if gap}


def names_below(folder: Path) -> list[str]:
    """The paths, below the folder and with ``/``, of all that is no folder there."""
    return sorted(Path(entry.path).relative_to(folder).as_posix() for entry in walk(folder))


def keep_only(folder: Path, names: Iterable[str]) -> None:
    """Remove what an earlier list has and `names` has not, unless it changed since, and list `names`."""
    kept, root = {*names}, folder.resolve()
    for name, digest in read_checksums(folder).items():
        file = folder / name
        if name not in kept and file.resolve().is_relative_to(root) and file.is_file() and sha256(file) == digest:
            file.unlink()
    write_checksums(folder, kept)
