"""The lock file: of each source the files that were fetched first, with sizes and hashes, and the Hub's commit.

Whoever fetches again by the same lock file gets the same bytes, or one line that says what differs.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.files import sha256, write_text
from benchmark.core.readers import Unreadable, read_json
from benchmark.core.workdir import Kind

LOCK = "fetch-lock.json"
VERSION = 1  # of the lock file
KIND = Kind(
    "collection of sources", LOCK, identity="version", fix="name another --out, or take the release that wrote it"
)
NOTE = {"version": VERSION}
FIRST = "first fetch"  # the origin of a hash that nobody published


@dataclass
class Entry:
    """The part of the lock file on one source; `save` writes the whole file."""

    name: str
    lock: Lock

    @property
    def note(self) -> dict[str, Any]:
        """The source's part of the file: ``files``, and what its origin keeps there."""
        return self.lock.sources.setdefault(self.name, {})

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """Of each file, by its path below the source's folder: ``bytes``, ``sha256``, ``hash_from``, ``mtime_ns``."""
        return self.note.setdefault("files", {})

    @property
    def is_complete(self) -> bool:
        """True once all files were fetched."""
        return bool(self.note.get("complete"))

    def save(self, **values: Any) -> None:
        """Write the lock file, with these values in the source's part."""
        self.note.update(values)
        self.lock.save()

    def add_file(self, name: str, path: Path, hash_from: str = FIRST, digest: str | None = None) -> None:
        """Note the file `name`, which lies at `path` now; `digest` is its SHA-256 where it is known already.

        Raises `UserError` where an earlier fetch noted another hash.
        """
        digest = digest or sha256(path)
        self.check_hash(name, digest, path)
        status = path.stat()
        self.files[name] = {
            "bytes": status.st_size,
            "sha256": digest,
            "hash_from": self.files[name]["hash_from"] if name in self.files else hash_from,
            "mtime_ns": status.st_mtime_ns,
        }

    def check_hash(self, name: str, digest: str, shown: Path) -> None:
        """Raise `UserError` where an earlier fetch noted another SHA-256 for the file `name`."""
        known = self.files.get(name)
        if known is not None and known["sha256"] != digest:
            raise UserError(
                f"{shown}: its SHA-256 is {digest[:16]}..., and {LOCK} has {known['sha256'][:16]}... "
                f"({known['hash_from']}); the owners changed the file, or it was damaged: fetch it again, or take "
                f"{self.name} out of {LOCK} to accept the new one"
            )

    def is_there(self, folder: Path) -> bool:
        """Return whether all files lie in `folder` with their sizes and times, or else with their hashes.

        Raises `UserError` for a file of another content.
        """
        if not self.is_complete or not self.files or not all((folder / name).is_file() for name in self.files):
            return False
        moved = False
        for name, known in self.files.items():
            status = (folder / name).stat()
            if (status.st_size, status.st_mtime_ns) != (known["bytes"], known["mtime_ns"]):
                digest = sha256(folder / name)
                if digest != known["sha256"]:
                    raise UserError(
                        f"{folder / name}: is not the file that was fetched, by its SHA-256; take it away, and the "
                        "same command fetches it again"
                    )
                known["mtime_ns"], moved = status.st_mtime_ns, True
        if moved:
            self.save()
        return True

    def state(self, folder: Path) -> str:
        """A word for the list: there, a local copy, in part, or not there. Reads no file."""
        if local := self.note.get("local"):
            return f"local copy: {local}" if Path(local).exists() else f"local copy is gone: {local}"
        if self.is_complete and self.files and all((folder / name).is_file() for name in self.files):
            return "there"
        return "in part" if folder.is_dir() and any(folder.iterdir()) else "not there"


class Lock:
    """The lock file of a folder; of one that has none yet, empty. Raises `UserError` for a damaged or other one."""

    def __init__(self, out: Path) -> None:
        self.file = out / LOCK
        self.sources: dict[str, dict[str, Any]] = {}
        if not self.file.exists():
            return
        note = read_json(self.file, f"take the release that wrote it, or {KIND.fix.partition(',')[0]}")
        if note.get("version") != VERSION:
            raise UserError(f"{self.file}: its version is {note.get('version')!r:.20}, not {VERSION}; {KIND.fix}")
        self.sources = _checked(note.get("sources", {}), self.file)

    def entry(self, name: str) -> Entry:
        """The part of the source `name`."""
        return Entry(name, self)

    def save(self) -> None:
        """Write the file atomically."""
        text = json.dumps({**NOTE, "sources": dict(sorted(self.sources.items()))}, indent=2)
        write_text(self.file, text + "\n")


def today() -> str:
    """The day, as the lock file has it."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def _checked(sources: Any, file: Path) -> dict[str, dict[str, Any]]:
    """The sources of a lock file, if their values are what we write."""
    from pydantic import TypeAdapter, ValidationError

    from benchmark.fetching.notes import Note

    try:
        TypeAdapter(dict[str, Note]).validate_python(sources, strict=True)
    except ValidationError as error:
        raise Unreadable(file, f"is damaged, or another program's ({problem(error)})", "name another --out") from error
    return sources


def problem(error: Any) -> str:
    """The first thing that pydantic finds wrong, in a line."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
