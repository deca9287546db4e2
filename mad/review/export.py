"""Verified groups as folders, in the layout of the released natural subset: ``benchmark.build --own`` takes them.

    <index>_<strong>-<base>/<sha256>.<suffix>   index: ImageNet's, of the suggested label (SPEC, 2)
    attribution.csv                             file, owner, owner_name, title, page_url, licence, licence_url,
                                                photo_id, sha256; empty where the pool has none
    skipped.csv                                 group_id, image, reason: accepted images that are not there any more
    review.json                                 annotators, counts and agreement

Files are named by their content: two images of one name cannot meet, and no name of somebody else's making
gets onto the disk. They are copied as they are, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from benchmark.core import files
from benchmark.core.csvs import write_csv
from benchmark.core.staging import recover, replacing_folder
from benchmark.core.text import name_key
from benchmark.core.workdir import check_empty
from benchmark.images.decode import BrokenImage, decode, suffix_of
from benchmark.images.open import ATTRIBUTION
from benchmark.labels import imagenet
from mad.crawling.credits import CREDIT
from mad.review.groups import ClassPair, ReviewImage
from mad.review.images import PoolImages

if TYPE_CHECKING:
    import pandas as pd


def name_folder(pair: ClassPair) -> str:
    """Name of the pair's folder, e.g. "890_volleyball-basketball".

    Two classes are called "crane", two "maillot", and two "cardigan" on disks that know no upper case. The index before
    the name identifies the label; a base class of such a name is followed by its own index ("134_crane-crane 517").
    """
    names = imagenet.names()
    is_ambiguous = [*map(name_key, names)].count(name_key(names[pair.base])) > 1
    return f"{pair.strong}_{pair.name}{f' {pair.base}' if is_ambiguous else ''}"


def write_groups(
    accepted: Sequence[tuple[ReviewImage, frozenset[str]]],
    pool_images: PoolImages,
    credits: Mapping[str, Mapping[str, str]],
    notes: Mapping[str, Any],
    out: Path,
) -> tuple[int, int, int]:
    """Write `out`, which must be empty or not there; it appears when all is in it.

    Args:
        accepted: the images, each with the SHA-256 (hex) of the files that were shown; an image that has changed
            since is skipped.
        pool_images: source of their files.
        credits: from an image's name to its row of `mad.crawling.credits.read_attribution`.
        notes: for review.json.
        out: the folder.

    Returns:
        Numbers of images that were written, were skipped, and lack attribution.

    Raises:
        UserError: if `out` is not empty.
    """
    recover(out)
    check_empty(out)
    with replacing_folder(out) as partial:
        columns, rows = ("file", *CREDIT), dict[str, list[str]]()
        skipped: list[tuple[str, str, str]] = []
        n_without_credit = 0
        for image, seen in tqdm(accepted, unit="image", desc="export", leave=False):
            try:
                image_bytes = pool_images.read(image.name)
                decode(image_bytes)
                suffix = suffix_of(image_bytes)
                sha256 = hashlib.sha256(image_bytes).hexdigest()
                if seen != {sha256}:
                    raise BrokenImage("not the file that was reviewed")
            except BrokenImage as error:
                skipped.append((image.pair.id, image.name, str(error)))
                continue
            file = f"{name_folder(image.pair)}/{sha256}{suffix}"
            (partial / file).parent.mkdir(exist_ok=True)
            (partial / file).write_bytes(image_bytes)
            credit = credits.get(image.name, {})
            n_without_credit += not credit
            row = {**credit, "file": file, "sha256": sha256}
            rows[file] = [row.get(column, "") for column in columns]
        write_csv(partial / ATTRIBUTION, columns, rows.values())
        if skipped:
            write_csv(partial / "skipped.csv", ("group_id", "image", "reason"), skipped)
        counts = {"images": len(rows), "skipped": len(skipped)}
        files.write_text(partial / "review.json", json.dumps({**notes, **counts}, indent=2) + "\n")
    return len(rows), len(skipped), n_without_credit


def find_seen_files(answers: pd.DataFrame, annotators: Sequence[str]) -> dict[tuple[str, str], frozenset[str]]:
    """From (group id, image) to the SHA-256 of the files that `annotators` accepted; several if the file changed."""
    accepted = answers[answers["accepted"] & answers["annotator"].map(name_key).isin(list(map(name_key, annotators)))]
    return {key: frozenset(hashes) for key, hashes in accepted.groupby(["group_id", "image"])["sha256"]}
