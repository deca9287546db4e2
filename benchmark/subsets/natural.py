"""The natural subset: the released ``Natural-Image-Subset.zip``, or groups that `mad.review` exported.

A folder is one group. Its name is ``<label>_<anything>`` (the released reader takes the number before the
underscore as the label; SPEC, 2; the sixteen labels are distinct), or the group's name or id as
`benchmark.data.groups` has them ("volleyball-basketball", "890-430").
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from benchmark.core.errors import UserError, unknown
from benchmark.core.text import printable
from benchmark.data.groups import PAPER_GROUPS, Group
from benchmark.data.schema import FLICKR
from benchmark.images.files import ImageFiles
from benchmark.subsets.items import Input, SourceImage, folder_of, read_csv

ATTRIBUTION = "attribution.csv"  # `mad.review` writes one; columns owner_name, title and licence_url if it has them
NEEDED = ("file", "owner", "licence", "page_url")
UNKNOWN_LICENCE = "Creative Commons; which one is not known"  # of the released archive: paper, appendix
UNKNOWN_OWNER = "a Flickr user; who is not known"
GROUPS = tuple(group for group in PAPER_GROUPS if group.subset == "natural")


def read(files: ImageFiles) -> Input:
    """Look the natural subset over: every image with its group, label, licence and credit, in the paper's order.

    `base_prediction` and `strong_prediction` are those in the group's name: by them the paper made the groups.

    Raises:
        UserError: for a folder that is no group, or an ``attribution.csv`` that lacks a column or an image.
    """
    credits = _credits(files)
    groups = {folder: _group(files, folder) for folder in sorted(set(map(folder_of, files.paths)))}
    items = []
    for name in sorted(files.paths, key=lambda name: (GROUPS.index(groups[folder_of(name)]), name)):
        group = groups[folder_of(name)]
        strong, base = map(int, group.id.split("-"))
        facts: dict[str, Any] = {
            "base_prediction": base,
            "strong_prediction": strong,
            "label_origin": "group",
            "source": FLICKR,
        }
        items.append(SourceImage(name, group, group.label, facts | _credit(files, name, credits)))
    choices = [] if credits else [f"No {ATTRIBUTION} lay beside the natural images: owners and links are unknown."]
    return Input("natural", files, items, choices=choices)


def _group(files: ImageFiles, folder: str) -> Group:
    last = PurePosixPath(folder).name
    plain = last.replace("_", " ").casefold()
    number = re.match(r"(\d+)_", last, flags=re.ASCII)
    for group in GROUPS:
        if plain in (group.name, group.id) or (number and int(number[1]) == group.label):
            return group
    known = [group.name for group in GROUPS]
    error = unknown("natural group", printable(last), known, "(folders: <label>_<anything>, a group's name or its id)")
    raise UserError(f"{files.where(folder)}: {error}")


def _credits(files: ImageFiles) -> dict[str, dict[str, str]]:
    """Rows of every ``attribution.csv``, by path of the image that they are about."""
    tables = sorted(name for name in files.files if PurePosixPath(name).name == ATTRIBUTION)
    return {
        str(PurePosixPath(table).parent / row["file"]): row
        for table in tables
        for row in read_csv(files, table, NEEDED)
    }


def _credit(files: ImageFiles, name: str, credits: dict[str, dict[str, str]]) -> dict[str, str]:
    if not credits:
        return {"licence": UNKNOWN_LICENCE, "attribution": UNKNOWN_OWNER}
    if name not in credits:
        where = files.where(name)
        raise UserError(f"{where}: {ATTRIBUTION} has no row for it; add owner, licence and page_url")
    row = credits[name]
    owner = row.get("owner_name") or row["owner"]
    if not (owner and row["page_url"]):  # an export from a pool that kept no credits
        return {"licence": row["licence"] or UNKNOWN_LICENCE, "attribution": UNKNOWN_OWNER}
    title = f'"{row["title"]}" ' if row.get("title") else ""
    licence = f", {row['licence_url']}" if row.get("licence_url") else ""
    credit = f"{title}by {owner}, {row['page_url']}{licence}"
    return {"licence": row["licence"] or UNKNOWN_LICENCE, "attribution": credit}
