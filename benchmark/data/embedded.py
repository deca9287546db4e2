"""The embedded benchmark's images as a pool to mine, labels left aside."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmark.data.dataset import MINI, read_split
from benchmark.images.sources import EncodedPool

EMBEDDED_TITLE = "the embedded pool"
EMBEDDED_SPLITS = ("pool", "edit", "dev_edit")


def embedded_pool() -> EncodedPool:
    """The mini benchmark's images, labels left aside: every picture once, in the order of the data set."""
    splits = [read_split(MINI, split) for split in EMBEDDED_SPLITS]
    ids = np.concatenate([split.table["sha256"].to_numpy(str) for split in splits])
    encoded = pa.chunked_array([chunk for split in splits for chunk in split.encoded.chunks])
    rows = np.sort(np.unique(ids, return_index=True)[1])
    return EncodedPool(EMBEDDED_TITLE, ids[rows].tolist(), encoded.take(pa.array(rows)))
