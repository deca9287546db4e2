"""Creators and licences of a crawl's images."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from benchmark.core.readers import read_csv
from benchmark.core.text import find_by_name
from benchmark.images.folder import Crawl
from benchmark.images.open import ATTRIBUTION
from benchmark.images.source import ImageSource

CREDIT = ("owner", "owner_name", "title", "page_url", "licence", "licence_url", "photo_id", "sha256")


def read_attribution(pool: ImageSource, images: Iterable[str]) -> pd.DataFrame:
    """Rows of a crawl's table for `images`: `image` and the columns of `CREDIT`, as strings.

    An image that the table lacks has no row; a pool that is no crawl has none at all.

    Raises:
        UserError: if the crawl's table lacks a column.
    """
    columns = ["image", *CREDIT]
    tables = [pd.DataFrame(columns=columns, dtype=str)]
    table = pool.root / ATTRIBUTION if isinstance(pool, Crawl) else None
    if table is not None and table.is_file():
        find = find_by_name({image: image for image in images})
        rows = read_csv(table, ["file", *CREDIT], "run mad.crawl again, which writes it")
        credits = [{**row, "image": image} for row in rows if (image := find(row["file"])) is not None]
        tables.append(pd.DataFrame(credits, columns=columns, dtype=str))
    return pd.concat(tables, ignore_index=True).drop_duplicates("image")
