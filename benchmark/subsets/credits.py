"""Credits of images that people took: an ``attribution.csv`` beside them, as `mad.review` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from benchmark.core.errors import UserError
from benchmark.core.text import find_by_name
from benchmark.images.files import ImageFiles
from benchmark.subsets.inputs import read_csv

ATTRIBUTION = "attribution.csv"  # columns owner_name, title and licence_url are read too, where it has them
NEEDED = ("file", "owner", "licence", "page_url")
Credits = Mapping[str, Mapping[str, str]]  # from the path of an image to its row


class Unknown(NamedTuple):
    """The words for a licence and an owner that nobody recorded."""

    licence: str
    owner: str


def read_credits(files: ImageFiles) -> Credits:
    """All rows of the tables of credits that lie among the files. Raises `UserError` for one that lacks a column."""
    tables = sorted(name for name in files.files if PurePosixPath(name).name == ATTRIBUTION)
    find = find_by_name({path: path for path in files.paths})
    rows = [(PurePosixPath(table).parent, row) for table in tables for row in read_csv(files, table, NEEDED)]
    return {find(str(folder / row["file"])) or str(folder / row["file"]): row for folder, row in rows}


def credit(files: ImageFiles, name: str, credits: Credits, unknown: Unknown) -> dict[str, str]:
    """The columns licence and attribution of one image. Raises `UserError` if the tables lack it."""
    if not credits:
        return {"licence": unknown.licence, "attribution": unknown.owner}
    if name not in credits:
        where = files.where(name)
        raise UserError(f"{where}: {ATTRIBUTION} has no row for it; add owner, licence and page_url")
    row = credits[name]
    owner = row.get("owner_name") or row["owner"]
    if not (owner and row["page_url"]):  # an export from a pool that kept no credits
        return {"licence": row["licence"] or unknown.licence, "attribution": unknown.owner}
    title = f'"{row["title"]}" ' if row.get("title") else ""
    licence = f", {row['licence_url']}" if row.get("licence_url") else ""
    return {
        "licence": row["licence"] or unknown.licence,
        "attribution": f"{title}by {owner}, {row['page_url']}{licence}",
    }
