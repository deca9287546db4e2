"""What `mad.search` found, read back for review: groups, and the images that each of them holds.

The tables are files that anybody may have edited, so nothing in them is trusted: classes are indices that are
looked up, a group's id must be that of its classes, and an image is only ever a name to look for in the pool.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError, first_line
from benchmark.data.groups import pair_id
from benchmark.labels import imagenet

GROUPS, MEMBERSHIP, SEARCH = "groups.csv", "membership.csv", "search.json"
HINT = "GROUPS is the --out folder of mad.search, or a groups.csv in it"


@dataclass(frozen=True)
class Group:
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
class Item:
    """One thing to answer: does the group's suggested label fit this image (its name in the pool)?"""

    group: Group
    image: str


@dataclass(frozen=True)
class Candidates:
    """The groups to review in the order of the table, their images group by group, and how they were found."""

    folder: Path
    groups: Sequence[Group]
    items: Sequence[Item]
    search: dict[str, Any]


def read_candidates(path: Path) -> Candidates:
    """The groups in `path`: a search's folder, or a table of groups in such a folder.

    A copy of groups.csv with fewer rows reviews those groups only. Images that stand twice in a group are
    asked about once.

    Raises:
        UserError: if files are missing, no search's tables, or hold no group.
    """
    folder, table = (path, path / GROUPS) if path.is_dir() else (path.parent, path)
    if not table.is_file():
        searches = sorted(below.parent.name for below in folder.glob(f"*/{GROUPS}"))
        hint = f"{folder} holds several searches, name one: {', '.join(searches)}" if searches else HINT
        raise UserError(f"{table}: no such file; {hint}")
    found = _read_csv(table, ["group_id", "strong_index", "base_index"])
    groups = {}
    for row in found:
        group = Group(_class(row["strong_index"], table), _class(row["base_index"], table))
        if group.id != row["group_id"]:
            raise UserError(f'{table}: group "{row["group_id"]}" has the classes of {group.id}; run mad.search again')
        groups[group.id] = group
    members: dict[str, dict[str, None]] = {id: {} for id in groups}
    for row in _read_csv(folder / MEMBERSHIP, ["group_id", "image"]):
        if row["group_id"] in members:
            members[row["group_id"]][row["image"]] = None
    items = [Item(groups[id], image) for id, images in members.items() for image in images]
    if not items:
        raise UserError(f"{table}: no group with an image in it; nothing to review")
    kept = [group for id, group in groups.items() if members[id]]
    return Candidates(folder, kept, items, _read_search(folder / SEARCH))


def _read_csv(path: Path, columns: list[str]) -> list[dict[str, str]]:
    import pandas as pd

    try:
        # As text: a file may be called "NA" or "007".
        table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=columns, encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {HINT}") from None
    except (ValueError, UnicodeError) as error:
        raise UserError(f"{path}: not a table of mad.search ({first_line(error)}); {HINT}") from error
    return table[columns].to_dict("records")


def _class(text: str, table: Path) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < imagenet.CLASSES):
        raise UserError(f'{table}: "{text}" is no class index (0 to {imagenet.CLASSES - 1}); run mad.search again')
    return int(text)


def _read_search(path: Path) -> dict[str, Any]:
    try:
        search = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(search["pool"], dict) and isinstance(search["command"]["pool"], str):
            return search
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {HINT}") from None
    except (ValueError, LookupError, TypeError):
        pass
    raise UserError(f"{path}: does not say what was searched; run mad.search again")
