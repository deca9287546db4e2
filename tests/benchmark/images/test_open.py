from __future__ import annotations

import hashlib
import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.data.embedded import open_embedded
from benchmark.data.packaged import EMBEDDED
from benchmark.images.decode import BrokenImage
from benchmark.images.folder import ImageFolder
from benchmark.images.open import open_images


def png(colour: tuple[int, int, int]) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.fixture
def splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """Stand-ins for the embedded splits; one picture is in two of them."""
    images = {
        "pool": [png((1, 2, 3)), b"no image"],
        "edit": [png((4, 5, 6)), png((1, 2, 3))],
        "dev_edit": [png((7, 8, 9))],
        "locality": [png((0, 0, 0))],
    }
    for split, encoded in images.items():
        table = {
            "image": [{"bytes": data, "path": None} for data in encoded],
            "label": [-1] * len(encoded),
            "group_id": [None] * len(encoded),
            "subset": [None] * len(encoded),
            "sha256": [hashlib.sha256(data).hexdigest() for data in encoded],
        }
        (tmp_path / "mini").mkdir(exist_ok=True)
        pq.write_table(pa.table(table), tmp_path / "mini" / f"{split}-00000-of-00001.parquet")
    monkeypatch.setitem(EMBEDDED, "mini", replace(EMBEDDED["mini"], data=tmp_path / "mini"))
    return images


# -- a folder


def test_a_folder_is_listed_by_name_with_the_folders_below_it(pictures: Path) -> None:
    (pictures / "notes.txt").write_text("no image")
    (pictures / ".hidden.png").write_bytes(png((0, 0, 0)))
    (pictures / ".cache").mkdir()
    (pictures / ".cache" / "thumb.png").write_bytes(png((0, 0, 0)))
    (pictures / "UPPER.PNG").write_bytes(png((9, 9, 9)))
    if hasattr(os, "mkfifo"):
        os.mkfifo(pictures / "waits-for-ever.png")
    pool = open_images(pictures)
    assert pool.ids == sorted(pool.ids) and len(pool) == len(set(pool.ids)) == 31
    assert {"01.png", "more/00.png", "UPPER.PNG"} <= set(pool.ids)
    assert pool.open(pool.ids.index("UPPER.PNG")).getpixel((0, 0)) == (9, 9, 9)


def test_a_folder_signs_its_contents(pictures: Path) -> None:
    first = open_images(pictures).signature
    assert first == open_images(pictures).signature
    (pictures / "01.png").write_bytes(png((3, 3, 3)))
    assert first != open_images(pictures).signature


def test_a_file_name_that_is_no_unicode_can_be_tabulated(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(png((5, 5, 5)))
    pool = open_images(tmp_path)
    assert pool.ids == ["\\xff.png"]
    assert pool.open(0).getpixel((0, 0)) == (5, 5, 5)
    pd.DataFrame({"image": pool.ids}).to_csv(tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.write_text("text"), "must be a ZIP archive"),
        (lambda path: path.mkdir(), "no images in it"),
    ],
)
def test_no_pool_is_an_error(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "given")
    with pytest.raises(UserError, match=message):
        open_images(tmp_path / "given")


def test_an_image_has_another_stamp_once_it_has_changed(pictures: Path, tmp_path: Path) -> None:
    pool = ImageFolder(pictures)
    before, times = dict(zip(pool.ids, pool.stamps, strict=True)), (pictures / "01.png").stat()
    whole = (pictures / "01.png").read_bytes()
    (pictures / "01.png").write_bytes(whole[:-1] + b"?")
    os.utime(pictures / "01.png", ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps times has it
    again = ImageFolder(pictures)
    after = dict(zip(again.ids, again.stamps, strict=True))
    assert {name for name in before if before[name] != after[name]} == {"01.png"}
    shutil.copytree(pictures, tmp_path / "copy")
    assert not {*ImageFolder(tmp_path / "copy").stamps} & {*after.values()}


def test_files_are_read_as_they_are_and_opened_at_a_smaller_scale(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), (200, 100, 50)).save(tmp_path / "a.jpg")
    pool = open_images(tmp_path)
    assert pool.read(0) == (tmp_path / "a.jpg").read_bytes()
    assert [pool.open(0, draft).size for draft in (None, 100, 120, 121, 480)] == [
        (640, 480), (160, 120), (160, 120), (320, 240), (640, 480)
    ]  # fmt: skip
    (tmp_path / "a.jpg").unlink()
    for use in (pool.read, pool.open):
        with pytest.raises(BrokenImage):
            use(0)


# -- a crawl


def crawl_at(folder: Path) -> list[str]:
    """A crawl of three images as `mad.crawl` leaves it; returns their SHA-256, sorted."""
    for colour in range(3):
        sha = hashlib.sha256(png((colour, 0, 0))).hexdigest()
        (folder / "images" / sha[:2]).mkdir(parents=True, exist_ok=True)
        (folder / "images" / sha[:2] / f"{sha}.jpg").write_bytes(png((colour, 0, 0)))
    (folder / "index.sqlite").touch()
    Image.new("RGB", (8, 8)).save(folder / "a_sheet_beside.png")
    return sorted(path.stem for path in folder.rglob("*.jpg"))


def test_a_crawl_is_its_images_known_by_content(tmp_path: Path) -> None:
    shas = crawl_at(tmp_path / "crawl")
    pool = open_images(tmp_path / "crawl")
    assert pool.ids == [f"images/{sha[:2]}/{sha}.jpg" for sha in shas]
    assert pool.stamps == shas
    assert pool.read(0) == (tmp_path / "crawl" / pool.ids[0]).read_bytes()
    shutil.move(tmp_path / "crawl", tmp_path / "moved")
    assert open_images(str(tmp_path / "moved")).stamps == shas


# -- the embedded pool, and which pool it is


def test_the_open_embedded_has_every_picture_once(splits) -> None:
    pool = open_embedded("mini")
    encoded = [splits["pool"][0], splits["pool"][1], splits["edit"][0], splits["dev_edit"][0]]
    assert pool.ids == [hashlib.sha256(data).hexdigest() for data in encoded]
    assert pool.open(2).getpixel((0, 0)) == (4, 5, 6)
    with pytest.raises(BrokenImage):
        pool.open(1)


def test_a_crawl_goes_before_the_open_embedded(splits, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_images().title == "the embedded pool"
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl" / "a.png").write_bytes(png((1, 1, 1)))
    assert open_images().title == "crawl"
    monkeypatch.chdir(tmp_path / "crawl")  # where no folder is called mini
    for name in ("mini", "the embedded pool"):
        assert open_images(name).title == "the embedded pool"


def test_the_real_open_embedded_opens() -> None:
    pool = open_embedded("mini")
    assert len(pool) == len(set(pool.ids)) > 1000
    assert pool.open(0).mode == pool.open(len(pool) - 1).mode == "RGB"
