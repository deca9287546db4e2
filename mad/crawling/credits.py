"""Creators and licences of a crawl's images."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from benchmark.core.csvs import plain_text
from benchmark.core.errors import UserError
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
        names = {*images}
        chunks = pd.read_csv(table, dtype=str, keep_default_na=False, chunksize=100_000)
        with chunks as rows:
            for chunk in rows:
                chunk = chunk.map(plain_text).rename(columns={"file": "image"})
                if missing := {*columns}.difference(chunk.columns):
                    raise UserError(f"{table}: lacks the column {min(missing)}; run mad.crawl again, which writes it")
                tables.append(chunk.loc[chunk["image"].isin(names), columns])
    return pd.concat(tables, ignore_index=True).drop_duplicates("image")
