"""The embedded benchmark's images: one split of them, or a pool to mine, without labels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmark.data.dataset import MINI, read_split
from benchmark.images.memory import EncodedImages
from benchmark.images.source import ImageSource

EMBEDDED_TITLE = "the embedded pool"
EMBEDDED_SPLITS = ("pool", "edit", "dev_edit")


def open_embedded(split: str | None = None) -> ImageSource:
    """The mini benchmark's images of one split; without one, all of `EMBEDDED_SPLITS` without labels.

    The pool holds each image once, in the order of the data set.
    """
    if split is not None:
        return read_split(MINI, split).source
    hashes: list[str] = []
    chunks: list[pa.Array] = []
    for name in EMBEDDED_SPLITS:
        images = read_split(MINI, name).source
        assert isinstance(images, EncodedImages)
        hashes += images.ids
        chunks += images.encoded.chunks
    first = np.sort(np.unique(hashes, return_index=True)[1])
    return EncodedImages(EMBEDDED_TITLE, hashes, pa.chunked_array(chunks)).take(first)
