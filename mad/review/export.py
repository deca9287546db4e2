"""Verified groups as folders, in the layout of the released natural subset, which `benchmark.build` takes.

    <index>_<strong>-<base>/<sha256>.<suffix>   index: ImageNet's, of the suggested label (SPEC, 2)
    attribution.csv                             file, owner, owner_name, title, page_url, licence, licence_url,
                                                photo_id, sha256; empty where the pool does not say
    skipped.csv                                 group_id, image, reason: accepted, but not there any more
    review.json                                 who reviewed what, and how well they agreed

Files are named by their content: two images of one name cannot meet, and no name of somebody else's making
gets onto the disk. They are copied as they are, byte for byte.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from benchmark.core import files
from benchmark.core.staging import replacing_folder
from benchmark.core.workdir import check_empty
from benchmark.images.decode import BrokenImage, decode
from benchmark.images.open import ATTRIBUTION
from benchmark.labels import imagenet
from mad.crawling.credits import CREDIT
from mad.review.groups import Group, Item
from mad.review.images import Images

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = {"JPEG": ".jpg", "TIFF": ".tif"}  # other formats' suffixes are their names


def folder_name(group: Group) -> str:
    """The group's folder, e.g. "890_volleyball-basketball".

    Two classes are called "crane", and two "maillot". The index before the name says which the label is; a
    base class of such a name is followed by its own index ("134_crane-crane 517").
    """
    names = imagenet.names()
    twice = names.count(names[group.base]) > 1
    return f"{group.strong}_{group.name}{f' {group.base}' if twice else ''}"


def write_groups(
    accepted: Sequence[tuple[Item, frozenset[str]]],
    images: Images,
    credits: Mapping[str, Mapping[str, str]],
    facts: Mapping[str, Any],
    out: Path,
) -> tuple[int, int, int]:
    """Write `out`, which must be empty or not there; it appears when all is in it.

    Args:
        accepted: the items, each with the SHA-256 (hex) of the files that were looked at; an image that has
            become another since is skipped.
        images: where their files come from.
        credits: from `mad.crawling.credits.attribution`, by image.
        facts: for review.json.
        out: the folder.

    Returns:
        How many images were written, were skipped, and lack attribution.

    Raises:
        UserError: if something is in `out`.
    """
    check_empty(out)
    with replacing_folder(out) as partial:
        written: dict[str, dict[str, str]] = {}
        skipped, bare = [], 0
        for item, seen in tqdm(accepted, unit="image", desc="export", leave=False):
            try:
                encoded = images.read(item.image)
                suffix = _suffix(encoded)
                sha256 = hashlib.sha256(encoded).hexdigest()
                if seen != {sha256}:
                    raise BrokenImage("not the file that was reviewed")
            except BrokenImage as error:
                skipped.append({"group_id": item.group.id, "image": item.image, "reason": str(error)})
                continue
            file = f"{folder_name(item.group)}/{sha256}{suffix}"
            (partial / file).parent.mkdir(exist_ok=True)
            (partial / file).write_bytes(encoded)
            known = credits.get(item.image, {})
            bare += not known
            written[file] = {**{key: known.get(key, "") for key in CREDIT}, "file": file, "sha256": sha256}
        _write_csv(partial / ATTRIBUTION, ["file", *CREDIT], list(written.values()))
        if skipped:
            _write_csv(partial / "skipped.csv", ["group_id", "image", "reason"], skipped)
        counts = {"images": len(written), "skipped": len(skipped)}
        files.write_text(partial / "review.json", json.dumps({**facts, **counts}, indent=2) + "\n")
    return len(written), len(skipped), bare


def seen_files(answers: pd.DataFrame, who: Sequence[str]) -> dict[tuple[str, str], frozenset[str]]:
    """By (group id, image) the SHA-256 of the files that `who` accepted; more than one if the file changed."""
    counted = answers[answers["accepted"] & answers["annotator"].str.lower().isin([name.lower() for name in who])]
    return {key: frozenset(given) for key, given in counted.groupby(["group_id", "image"])["sha256"]}


def _suffix(encoded: bytes) -> str:
    """The suffix of an image's format.

    Raises:
        BrokenImage: if it does not decode.
    """
    from PIL import Image

    decode(encoded)  # which refuses all but a few formats
    with Image.open(io.BytesIO(encoded)) as opened:
        return SUFFIX.get(str(opened.format), f".{str(opened.format).lower()}")


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
