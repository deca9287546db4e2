"""Names of files and folders that nobody expects: very deep, very long, of digits, in two spellings."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.core.text import name_key
from benchmark.images.open import open_images
from benchmark.images.shards import list_parquet
from benchmark.labels.names import class_index
from benchmark.subsets import natural, oil_painting
from leaderboard.records.runs import find_runs
from mad.crawling.removal import _find_images
from mad.review.export import name_folder
from mad.review.groups import ClassPair
from tests.benchmark.images.test_open import png

DEPTH = 1_500  # more than Python recurses, and less than a path may have characters


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder with a picture `DEPTH` levels down."""
    if os.name == "nt":
        pytest.skip("Windows has no such paths")
    top = tmp_path / "deep"
    for depth in range(DEPTH + 1):  # pathlib recurses
        (top / "/".join("d" * depth)).mkdir()
    (top / "/".join("d" * DEPTH) / "a.png").write_bytes(png((1, 2, 3)))
    assert sys.getrecursionlimit() < DEPTH
    yield top
    for _ in range(DEPTH // 100):  # shutil recurses
        (top / "/".join("d" * 100)).rename(tmp_path / "lower")
        shutil.rmtree(top)
        (tmp_path / "lower").rename(top)


def test_a_deep_folder_is_read(deep: Path) -> None:
    images = open_images(deep)
    assert images.ids == ["d/" * DEPTH + "a.png"] and images.open(0).getpixel((0, 0)) == (1, 2, 3)
    assert open_images(deep, files=True).files == {images.ids[0]}
    assert list_parquet(deep) == [] and len([*_find_images(deep)]) == 1
    with pytest.raises(UserError, match=r"no record.json below"):
        find_runs([deep])
    with pytest.raises(UserError, match='no ImageNet class is called "d"'):
        open_images(deep, labelled=True)


def test_a_deep_archive_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as archive:
        archive.writestr("d/" * DEPTH + "a.png", png((1, 2, 3)))
        archive.writestr("5" * 5_000 + "_x/a.png", png((1, 2, 3)))
    images = open_images(tmp_path / "deep.zip")
    assert len(images) == 2 and images.open(1).getpixel((0, 0)) == (1, 2, 3)
    for read in (natural.read, oil_painting.SUBSET.read):
        with pytest.raises(UserError):
            read(open_images(tmp_path / "deep.zip", files=True))


@pytest.mark.parametrize(("digits", "index"), [("0" * 5_000 + "17", 17), ("5" * 5_000, None), ("1000", None), ("0", 0)])
def test_a_number_is_a_class_however_many_digits_it_has(digits: str, index: int | None) -> None:
    assert class_index(digits) == index


@pytest.mark.parametrize("name", ["Cardigan", "cardigan", "CARDIGAN"])
def test_a_name_that_case_alone_tells_apart_is_refused(name: str, tmp_path: Path) -> None:
    """One is a dog and one a jacket; on some disks they are one folder."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.png").write_bytes(png((1, 2, 3)))
    with pytest.raises(UserError, match="is the name of the classes 264 and 474; use the index instead"):
        open_images(tmp_path, labelled=True)


def test_groups_of_two_classes_that_case_alone_tells_apart_have_two_folders() -> None:
    folders = {name_folder(ClassPair(5, base)) for base in (264, 474)}
    assert len({name_key(folder) for folder in folders}) == 2
