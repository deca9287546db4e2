"""Commands hand over to each other: verified groups and chosen near-boundary images go into the build."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmark import locality
from benchmark.build import build
from benchmark.data.dataset import read_split
from benchmark.data.packaged import MINI
from benchmark.images.folder import ImageFolder
from benchmark.labels.imagenet import synsets
from mad.review.export import write_groups
from mad.review.groups import ClassPair, ReviewImage
from mad.review.images import PoolImages


def rows(folder: Path, split: str) -> pd.DataFrame:
    return read_split(folder / "data", split).table


def test_reviewed_groups_go_into_the_build(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    random, accepted = np.random.default_rng(0), []
    pair = ClassPair(890, 430)
    for name in ("a.jpg", "b.png"):
        Image.fromarray(random.integers(0, 256, (24, 40, 3), dtype=np.uint8)).save(tmp_path / "pool" / name)
        digest = hashlib.sha256((tmp_path / "pool" / name).read_bytes()).hexdigest()
        accepted.append((ReviewImage(pair, name), frozenset([digest])))
    credits = {"a.jpg": {"owner": "1@N00", "owner_name": "Ann", "page_url": "https://flickr.com/p/1", "licence": "by"}}
    pool = ImageFolder(tmp_path / "pool")
    pool_images = PoolImages(pool, {name: position for position, name in enumerate(pool.ids)})
    write_groups(accepted, pool_images, credits, {}, tmp_path / "natural")
    build(tmp_path / "built", {"natural": tmp_path / "natural"}, allow_partial=True)
    built = rows(tmp_path / "built", "edit").set_index("source_id")
    assert built["group_id"].tolist() == ["890-430"] * 2 and built["label"].tolist() == [890, 890]
    assert set(built["attribution"]) == {"by Ann, https://flickr.com/p/1", "a Flickr user; who is not known"}


def test_reviewed_paintings_go_into_the_build(tmp_path: Path) -> None:
    """`mad.review export` names a folder by the label and the pair; the oil painting group takes the label."""
    folder = tmp_path / "oil" / "987_corn-ear"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "a.png")
    build(tmp_path / "built", {"oil_painting": tmp_path / "oil"}, allow_partial=True)
    assert rows(tmp_path / "built", "edit")[["group_id", "label"]].values.tolist() == [["17", 987]]


def test_chosen_near_boundary_images_go_into_the_build(tmp_path: Path) -> None:
    """Of the mini's own, which its base gets right by a small margin."""
    samples = read_split(MINI, "locality").take(range(12))
    for number, label in enumerate(samples.labels):
        folder = tmp_path / "val" / synsets()[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.webp").write_bytes(samples.image_bytes(number))
    locality.main("mini", imagenet=str(tmp_path / "val"), margin=0.2, out=tmp_path / "chosen")
    build(tmp_path / "built", {"locality": tmp_path / "chosen" / "images"}, allow_partial=True)
    built = rows(tmp_path / "built", "locality").set_index("sha256")
    expected = samples.table[samples.table["margin"] < 0.2].set_index("sha256")
    assert len(expected) > 0 and set(built.index) == set(expected.index)
    assert built["label"].to_dict() == expected["label"].to_dict()
    pd.testing.assert_series_equal(built["margin"].sort_index(), expected["margin"].sort_index(), atol=1e-4)
    assert json.loads((tmp_path / "built" / "build.json").read_text())["partial"]
