"""Groups of `mad.search` read back for review, with the images that each of them holds.

The tables are files that anybody may have edited, so nothing in them is trusted: classes are indices that are
looked up, a group's id must be that of its classes, and an image is only ever a name to look for in the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.files import like
from benchmark.core.readers import read_csv, read_json
from benchmark.data.groups import pair_id
from benchmark.labels import imagenet
from benchmark.labels.names import numbered_class

GROUPS, MEMBERSHIP, SEARCH = "groups.csv", "membership.csv", "search.json"
HINT = "GROUPS is the --out folder of mad.search, or a groups.csv in it"


@dataclass(frozen=True)
class ClassPair:
    """Images that the stronger model calls `strong` and the base model `base`: ImageNet class indices."""

    strong: int
    base: int

    @property
    def id(self) -> str:
        """The id that `mad.search` gives it, e.g. "890-430"."""
        return pair_id(self.strong, self.base)

    @property
    def name(self) -> str:
        """ "<strong>-<base>", as the paper names groups (its Table A)."""
        return f"{imagenet.names()[self.strong]}-{imagenet.names()[self.base]}"


@dataclass(frozen=True)
class ReviewImage:
    """An image (by its name in the pool) to judge: does the suggested label of its group, the class pair, fit it?"""

    pair: ClassPair
    name: str


@dataclass(frozen=True)
class Candidates:
    """Groups to review in the order of the table, their images group by group, and the note of the search."""

    folder: Path
    pairs: Sequence[ClassPair]
    images: Sequence[ReviewImage]
    search: dict[str, Any]


def read_candidates(path: Path) -> Candidates:
    """The groups in `path`: a search's folder, or a table of groups in such a folder.

    A copy of groups.csv with fewer rows reviews those groups only. Images that stand twice in a group are
    shown once.

    Raises:
        UserError: if files are missing, no search's tables, or hold no group.
    """
    folder, table = (path, path / GROUPS) if path.is_dir() else (path.parent, path)
    if not table.is_file():
        searches = sorted(below.parent.name for below in folder.glob(f"*/{GROUPS}"))
        hint = f"{folder} holds several searches, name one: {', '.join(searches)}" if searches else HINT
        raise UserError(f"{table}: no such file{like(table)}; {hint}")
    pair_of_id = {}
    for row in read_csv(table, ["group_id", "strong_index", "base_index"], HINT):
        pair = ClassPair(_parse_class(row["strong_index"], table), _parse_class(row["base_index"], table))
        if pair.id != row["group_id"]:
            raise UserError(f'{table}: group "{row["group_id"]}" has the classes of {pair.id}; run mad.search again')
        pair_of_id[pair.id] = pair
    members: dict[str, dict[str, None]] = {id: {} for id in pair_of_id}
    for row in read_csv(folder / MEMBERSHIP, ["group_id", "image"], HINT):
        if row["group_id"] in members:
            members[row["group_id"]][row["image"]] = None
    images = [ReviewImage(pair_of_id[id], name) for id, names in members.items() for name in names]
    if not images:
        raise UserError(f"{table}: no group with an image in it; nothing to review")
    pairs = [pair for id, pair in pair_of_id.items() if members[id]]
    return Candidates(folder, pairs, images, _read_search(folder / SEARCH))


def _parse_class(text: str, table: Path) -> int:
    index = numbered_class(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    if index is None:
        raise UserError(
            f'{table}: a class index must be 0 to {imagenet.CLASSES - 1}, not "{text:.20}"; run mad.search again'
        )
    return index


def _read_search(path: Path) -> dict[str, Any]:
    search = read_json(path, fix=HINT)
    command = search.get("command")
    if isinstance(search.get("pool"), dict) and isinstance(command, dict) and isinstance(command.get("pool"), str):
        return search
    raise UserError(f"{path}: must name the searched pool; run mad.search again")
