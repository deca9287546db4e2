"""Whose pictures the images of a crawl are."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from benchmark.core.errors import UserError
from benchmark.images.folder import Crawl
from benchmark.images.open import ATTRIBUTION
from benchmark.images.source import ImageSource

CREDIT = ("owner", "owner_name", "title", "page_url", "licence", "licence_url", "photo_id", "sha256")


def attribution(pool: ImageSource, images: Iterable[str]) -> pd.DataFrame:
    """Whose pictures these are, as far as a crawl's table says: `image` and the columns of `CREDIT`, as strings.

    Raises:
        UserError: if the crawl's table lacks a column.
    """
    columns, found = ["image", *CREDIT], [pd.DataFrame(columns=["image", *CREDIT], dtype=str)]
    table = pool.root / ATTRIBUTION if isinstance(pool, Crawl) else None
    if table is not None and table.is_file():
        wanted = {*images}
        chunks = pd.read_csv(table, dtype=str, keep_default_na=False, chunksize=100_000)
        with chunks as rows:
            for chunk in rows:
                chunk = chunk.rename(columns={"file": "image"})
                if missing := {*columns}.difference(chunk.columns):
                    raise UserError(f"{table}: lacks the column {min(missing)}; run mad.crawl again, which writes it")
                found.append(chunk.loc[chunk["image"].isin(wanted), columns])
    return pd.concat(found, ignore_index=True).drop_duplicates("image")
