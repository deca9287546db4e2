"""A source: a thing that the benchmark is made of, where its owners offer it; and the list of all.

Each file of this room that holds one as `SOURCE` is a source, and `benchmark.fetch` takes its name.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmark.core.plugins import import_room
from benchmark.fetching.lock import Entry

UNKNOWN = "not known"


class Origin(Protocol):
    """A place from which files come, and the way to get them."""

    @property
    def address(self) -> str:
        """The address that a person opens."""

    def fetch(self, folder: Path, entry: Entry) -> None:
        """Bring all files into `folder` and note each in `entry`; go on where an earlier call ended.

        Raises `UserError` where they cannot be had, have other sizes or hashes than noted, or the disk is too small.
        """

    def find_local(self, folder: Path, name: str) -> Path | None:
        """The local copy in a folder of copies: of this name, or as its owners call it; None if there is none.

        Raises `UserError` for a copy that is something else.
        """


@dataclass(frozen=True)
class Source:
    """One source.

    name: as the command line has it; its folder below ``--out`` is called so.
    content: a few words on what it is.
    command: the command that takes it, with its option.
    origin: where it comes from.
    value: of that option; ``{path}`` is the folder of the source.
    size: as its owners state it, with the address; the true size is asked before it is fetched.
    licence: its name, with the address where it is stated.
    terms: what who fetches it agrees to, in a sentence.
    by_name_only: left out where no names are given, since another source or a smaller part of it does.
    """

    name: str
    content: str
    command: str
    origin: Origin
    value: str = "{path}"
    size: str = UNKNOWN
    licence: str = UNKNOWN
    terms: str = "The owners state no terms that are known here; use it for research alone, and do not pass it on."
    by_name_only: bool = False

    def value_in(self, path: Path) -> str:
        """The value of the command's option, for a source that lies in `path`: in its place there, else all of it."""
        before, _, place = self.value.partition("{path}/")
        if place and not (path / place).exists():
            return f"{before}{path}"
        return self.value.replace("{path}", str(path))


@functools.cache
def sources() -> dict[str, Source]:
    """All sources by name, in alphabetical order."""
    modules = import_room("benchmark.fetching")
    return {
        source.name: source
        for source in sorted((module.SOURCE for module in modules if hasattr(module, "SOURCE")), key=lambda s: s.name)
    }
