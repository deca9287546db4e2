"""The embedded benchmarks' images: one split of them, or a pool to mine, without labels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmark.data.dataset import read_split
from benchmark.data.packaged import EMBEDDED
from benchmark.images.memory import EncodedImages
from benchmark.images.source import ImageSource

EMBEDDED_SPLITS = ("pool", "edit", "dev_edit")


def open_embedded(name: str, split: str | None = None) -> ImageSource:
    """The images of one split of an embedded benchmark; without one, all of `EMBEDDED_SPLITS` without labels.

    The pool holds each image once, in the order of the data set. Of `real` it is what was mined and chosen alone.
    """
    data = EMBEDDED[name].data
    if split is not None:
        return read_split(data, split).source
    hashes: list[str] = []
    chunks: list[pa.Array] = []
    for part in EMBEDDED_SPLITS:
        if not any(data.glob(f"{part}-*.parquet")):
            continue
        images = read_split(data, part).source
        assert isinstance(images, EncodedImages)
        hashes += images.ids
        chunks += images.encoded.chunks
    first = np.sort(np.unique(hashes, return_index=True)[1])
    return EncodedImages(EMBEDDED[name].title, hashes, pa.chunked_array(chunks)).take(first)
