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
from benchmark.core.text import name_key, printable
from benchmark.data.groups import Group
from benchmark.data.schema import FLICKR
from benchmark.images.files import ImageFiles
from benchmark.labels.names import numbered_class
from benchmark.subsets.inputs import Input, SourceImage, folder_of, read_csv
from benchmark.subsets.subset import Subset

ATTRIBUTION = "attribution.csv"  # `mad.review` writes one; columns owner_name, title and licence_url if it has them
NEEDED = ("file", "owner", "licence", "page_url")
UNKNOWN_LICENCE = "Creative Commons; which one is not known"  # of the released archive: paper, appendix
UNKNOWN_OWNER = "a Flickr user; who is not known"


def _natural(identity: str, name: str, count: int) -> Group:
    return Group(identity, name, "natural", int(identity.split("-")[0]), count)


GROUPS = (
    _natural("890-430", "volleyball-basketball", 123),
    _natural("933-923", "cheeseburger-plate", 133),
    _natural("470-644", "candle-matchstick", 113),
    _natural("900-437", "water tower-beacon", 159),
    _natural("609-586", "jeep-half track", 410),
    _natural("543-422", "dumbbell-barbell", 240),
    _natural("879-762", "umbrella-restaurant", 49),
    _natural("417-865", "balloon-toyshop", 75),
    _natural("573-751", "go-kart-racer", 172),
    _natural("880-671", "unicycle-mountain bike", 149),
    _natural("954-582", "banana-grocery store", 75),
    _natural("752-890", "racket-volleyball", 137),
    _natural("640-539", "manhole cover-doormat", 80),
    _natural("407-654", "ambulance-minibus", 155),
    _natural("562-975", "fountain-lakeside", 155),
    _natural("888-718", "viaduct-pier", 129),
)


def read(files: ImageFiles) -> Input:
    """List the natural subset's images with group, label, licence and credit, in the paper's order.

    `base_prediction` and `strong_prediction` are those in the group's name, by which the paper made the groups.

    Raises:
        UserError: for a folder that is no group, or an ``attribution.csv`` that lacks a column or an image.
    """
    credits = _read_credits(files)
    groups = {folder: _find_group(files, folder) for folder in sorted(set(map(folder_of, files.paths)))}
    images = []
    for name in sorted(files.paths, key=lambda name: (GROUPS.index(groups[folder_of(name)]), name)):
        group = groups[folder_of(name)]
        strong, base = map(int, group.id.split("-"))
        columns: dict[str, Any] = {
            "base_prediction": base,
            "strong_prediction": strong,
            "label_origin": "group",
            "source": FLICKR,
        }
        images.append(SourceImage(name, group, group.label, columns | _credit(files, name, credits)))
    notes = [] if credits else [f"No {ATTRIBUTION} lay beside the natural images: owners and links are unknown."]
    return Input("natural", files, images, notes=notes)


def _find_group(files: ImageFiles, folder: str) -> Group:
    last = PurePosixPath(folder).name
    plain = name_key(last.replace("_", " "))
    number = re.match(r"(\d+)_", last, flags=re.ASCII)
    for group in GROUPS:
        if plain in (group.name, group.id) or (number and numbered_class(number[1]) == group.label):
            return group
    known = [group.name for group in GROUPS]
    error = unknown("natural group", printable(last), known, "(folders: <label>_<anything>, a group's name or its id)")
    raise UserError(f"{files.where(folder)}: {error}")


def _read_credits(files: ImageFiles) -> dict[str, dict[str, str]]:
    """From the path of an image to its row in an ``attribution.csv``."""
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


ORIGIN = """\
Flickr photographs under Creative Commons licences, uploaded before Stable Diffusion came out,
found by the maximum discrepancy (MAD) competition between ViT-B/16 and the same network pre-trained by CLIP.
The stronger model suggested the labels, two of the paper's authors verified them."""
SUBSET = Subset(
    name="natural",
    option="Natural-Image-Subset.zip, its folder, or what mad.review exported.",
    origin=ORIGIN,
    passed_on=True,
    read=read,
    groups=GROUPS,
)
