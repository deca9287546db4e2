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
from benchmark.subsets.credits import ATTRIBUTION, Unknown, credit, read_credits
from benchmark.subsets.inputs import Input, SourceImage, folder_of
from benchmark.subsets.subset import Subset

UNKNOWN = Unknown(licence="Creative Commons; which one is not known", owner="a Flickr user; who is not known")
# of the released archive: paper, appendix


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
    credits = read_credits(files)
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
        images.append(SourceImage(name, group, group.label, columns | credit(files, name, credits, UNKNOWN)))
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
