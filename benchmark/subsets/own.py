"""Groups of one's own: what `mad.review` exported, or folders of images of which one class is the truth.

    <index>_<strong>-<base>/image.jpg    index: ImageNet's, of the label; a folder is a group
    attribution.csv, review.json         where `mad.review` wrote them: credits; the search, the annotators

Any base model's failures, any labels, and as many images as there are: the paper's names and counts play no part.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.readers import Unreadable, parse_json
from benchmark.core.text import name_key, printable
from benchmark.data.groups import Group, pair_id
from benchmark.data.schema import FLICKR
from benchmark.images.decode import BrokenImage
from benchmark.images.files import ImageFiles
from benchmark.labels.imagenet import CLASSES, names
from benchmark.labels.names import numbered_class
from benchmark.subsets.credits import Credits, Unknown, credit, read_credits
from benchmark.subsets.inputs import Input, SourceImage, folder_of
from benchmark.subsets.subset import Subset

NAME, REVIEW = "own", "review.json"
UNKNOWN = Unknown(licence="not known", owner="not known")


def read(files: ImageFiles) -> Input:
    """List the images of all groups, each with its label and credit.

    `base_prediction` and `strong_prediction` are those in the folder's name, where it names them.

    Raises:
        UserError: for a folder without an index, with one that is no class, or of the same group as another, and for
            an ``attribution.csv`` that lacks a column or an image.
    """
    credits = read_credits(files)
    groups: dict[str, tuple[Group, int | None]] = {}
    for folder in sorted(set(map(folder_of, files.paths))):
        group, base = _read_group(files, folder)
        twin = next((other for other, (known, _) in groups.items() if name_key(known.id) == name_key(group.id)), None)
        if twin is not None:
            raise UserError(f"{files.where(folder)}: the same group as {files.where(twin)}; put their images together")
        groups[folder] = group, base
    images = []
    for path in files.paths:
        group, base = groups[folder_of(path)]
        columns: dict[str, Any] = {"label_origin": "group", "source": FLICKR if _is_credited(credits, path) else NAME}
        if base is not None:
            columns |= {"base_prediction": base, "strong_prediction": group.label}
        images.append(SourceImage(path, group, group.label, columns | credit(files, path, credits, UNKNOWN)))
    return Input(NAME, files, images, labels="own", notes=_describe_review(files))


def _is_credited(credits: Credits, path: str) -> bool:
    return path in credits and bool(credits[path]["page_url"])


def _read_group(files: ImageFiles, folder: str) -> tuple[Group, int | None]:
    """The group that a folder holds, and the class that the base model takes it for, if the name says so."""
    last = PurePosixPath(folder).name
    number = re.match(r"(\d+)_(.+)", last, flags=re.ASCII)
    label = numbered_class(number[1]) if number else None
    if number is None or label is None:
        raise UserError(
            f"{files.where(folder)}: a group's folder begins with the ImageNet index of its label, 0 to {CLASSES - 1}, "
            "and an underscore, such as 468_cab-bee"
        )
    title = printable(number[2])
    base = _read_base(label, title)
    return Group(str(label) + "_" + title if base is None else pair_id(label, base), title, NAME, label, None), base


def _read_base(label: int, title: str) -> int | None:
    """The base's class in ``<strong>-<base>``, as `mad.review` names folders; None if it is no such name.

    Classes of one name are told apart by their index behind it: "crane 517".
    """
    before = name_key(f"{names()[label]}-")
    if not name_key(title).startswith(before):
        return None
    base = name_key(title)[len(before) :]
    titles = [name_key(name) for name in names()]
    return next(
        (n for n, name in enumerate(titles) if base in ([name] if titles.count(name) == 1 else [f"{name} {n}"])), None
    )


def _describe_review(files: ImageFiles) -> list[str]:
    """A sentence a review: the search, its pair and pool, and who verified the labels."""
    return [_describe(files, path) for path in sorted(files.files) if PurePosixPath(path).name == REVIEW]


def _describe(files: ImageFiles, path: str) -> str:
    where = files.where(path)
    try:
        review = parse_json(files.read_file(path), where)
        search, (first, second) = review["search"], review["annotators"]
        names = {model: printable(search[model]["name"]) for model in ("base", "strong") if model in search}
        base, strong = names.get("base", "a base model"), names.get("strong", "a stronger one")
        kappa = "" if review["cohen_kappa"] is None else f" (Cohen's kappa {float(review['cohen_kappa']):.2f})"
        return (
            f"Own groups: {base} and {strong} disagree on these images of {printable(search['command']['pool'])}; "
            f"{printable(first)} and {printable(second)} accepted the label that {strong} suggested{kappa}."
        )
    except (BrokenImage, Unreadable, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{where}: not what mad.review writes ({type(error).__name__}); export the groups again"
        ) from error


ORIGIN = """\
Groups of one's own: images on which a base model and a stronger one disagree (`mad.search`), whose labels two people
verified (`mad.review`)."""
SUBSET = Subset(
    name=NAME,
    option="Groups of your own: what mad.review exported, or folders <index>_<name> of images.",
    origin=ORIGIN,
    passed_on=True,
    read=read,
)
