"""Creators and licences of a crawl's images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.errors import UserError
from benchmark.images.folder import ImageFolder
from benchmark.images.open import open_images
from mad.crawling.credits import CREDIT, read_attribution
from tests.benchmark.images.test_open import crawl_at


def test_attribution_is_that_of_the_images_asked_about(tmp_path: Path) -> None:
    crawl_at(tmp_path)
    pool = open_images(tmp_path)
    assert len(read_attribution(pool, pool.ids)) == 0  # a crawl that was killed has none yet
    table = pd.DataFrame({"file": pool.ids, **{column: ["a", "", "1e5"] for column in CREDIT}})
    table.assign(keyword="x").to_csv(tmp_path / "attribution.csv", index=False)
    rows = read_attribution(pool, [pool.ids[2], pool.ids[1], "elsewhere.jpg"])
    assert rows.columns.tolist() == ["image", *CREDIT]
    assert rows.to_numpy().tolist() == [[pool.ids[1], *[""] * 8], [pool.ids[2], *["1e5"] * 8]]
    assert len(read_attribution(ImageFolder(tmp_path), pool.ids)) == 0
    table.drop(columns="licence").to_csv(tmp_path / "attribution.csv", index=False)
    with pytest.raises(UserError, match="lacks the column licence"):
        read_attribution(pool, pool.ids)


def test_an_image_has_its_credit_however_its_name_is_spelled(tmp_path: Path) -> None:
    crawl_at(tmp_path)
    pool = open_images(tmp_path)
    table = pd.DataFrame(
        {"file": [name.upper() for name in pool.ids], **{column: ["a", "b", "c"] for column in CREDIT}}
    )
    table.to_csv(tmp_path / "attribution.csv", index=False)
    rows = read_attribution(pool, pool.ids)
    assert rows["image"].tolist() == [*pool.ids] and rows["owner"].tolist() == ["a", "b", "c"]
