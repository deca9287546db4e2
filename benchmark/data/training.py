"""Images that editors may learn from: never those that they are judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.core.errors import UserError
from benchmark.data.dataset import LabelledImages, read_split, require_labels
from benchmark.data.hub import describe
from benchmark.data.packaged import EMBEDDED
from benchmark.images.card import embedded_in
from benchmark.images.decode import BrokenImage
from benchmark.images.open import open_images
from benchmark.images.source import ImageSource

TRAINING_IMAGES = 10_000  # at most from a folder by class; as many as `editors.core.statistics` takes
DRAW_SEED = 0  # which of them: the same for every run, so that runs share what was computed of them


def training_images(source: str, left_out: Collection[str] = ()) -> LabelledImages:
    """The labelled images of an embedded benchmark's name, a folder in the Hub's layout or a folder by class.

    In the first two they are the ``train`` split, which shares no drawing or photograph with what is scored. Of
    a folder by class (``folder/<index, synset id or name>/image.jpg``) at most `TRAINING_IMAGES` are drawn at
    random. Images whose hashes are in `left_out` are left out. Raises `UserError` if no others are there.
    """
    source = embedded_in(Path(source)) or source
    data = EMBEDDED[source].data if source in EMBEDDED else Path(source) / "data"
    if not data.is_dir():
        images = _draw(open_images(source, labelled=True))
    elif any(data.glob("train-*.parquet")):
        images = read_split(data, "train")
        require_labels(images, f"{data}: a training image")
    else:
        raise UserError(
            f"{describe(data.parent)}: no data/train-*.parquet there, and this editor learns from training images "
            "first; name some with --images (a folder of images by class, or a data set with a train split)"
        )
    unseen = ~images.table["sha256"].isin(left_out).to_numpy()
    images = images if unseen.all() else images.take(np.flatnonzero(unseen))
    if len(images) == 0:
        raise UserError(f"{source}: no training images there but those that are scored; name others with --images")
    return images


def _draw(source: ImageSource) -> LabelledImages:
    """At most `TRAINING_IMAGES` of a labelled source, drawn at random, with their hashes."""
    images = source.take(np.random.default_rng(DRAW_SEED).permutation(len(source))[:TRAINING_IMAGES])
    try:
        hashes = [hashlib.sha256(images.read(position)).hexdigest() for position in range(len(images))]
    except BrokenImage as error:
        raise UserError(f"{source.title}: an image is broken ({error}); remove it, or fetch it again") from error
    table = pd.DataFrame({"label": images.labels, "sha256": hashes, "source_id": images.ids})
    return LabelledImages(table, images)
