"""Every kind of image source alike: what it names, what changes its stamps, and that it can be taken apart."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmark.core.errors import UserError
from benchmark.images.decode import FORMATS, SUFFIXES, BrokenImage
from benchmark.images.memory import EncodedImages
from benchmark.images.open import open_images
from benchmark.images.source import ImageSource, Joined
from editors.training.images import open_training_images
from tests.benchmark.images.test_parquet import write
from tests.benchmark.released import zipped
from tests.conftest import png

RNG = np.random.default_rng(0)
FIRST, SECOND, OTHER = (png(RNG) + bytes(100) for _ in range(3))  # decoders stop before what is added
SIZE = max(map(len, (FIRST, SECOND)))
FIRST, SECOND = FIRST.ljust(SIZE, b"\0"), SECOND.ljust(SIZE, b"\0")

IN_FILES: dict[str, Callable[[Path], ImageSource]] = {
    "folder": open_images,
    "by class": lambda path: open_images(path, labelled=True),
    "released": lambda path: open_images(path, files=True),
    "training": lambda path: open_training_images(str(path)),
}


def by_class(folder: Path) -> tuple[Path, Path]:
    """Two images of one size in folders of two classes."""
    files = folder / "890" / "a.png", folder / "430" / "b.png"
    for file, data in zip(files, (FIRST, SECOND), strict=True):
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        os.utime(file, ns=(10**18, 10**18))
    return files


def swap(first: Path, second: Path) -> None:
    """Exchange two files by renaming them: sizes and times of modification stay."""
    between = first.with_suffix(".moved")
    first.rename(between)
    second.rename(first)
    between.rename(second)


@pytest.mark.parametrize("kind", IN_FILES)
def test_every_kind_in_files_sees_two_files_swapped(tmp_path: Path, kind: str) -> None:
    files = by_class(tmp_path / "in")
    before = IN_FILES[kind](tmp_path / "in")
    stamps, signature = list(before.stamps), before.signature
    again = IN_FILES[kind](tmp_path / "in")
    assert (list(again.stamps), again.signature) == (stamps, signature), "nothing changed"
    swap(*files)
    assert files[0].stat().st_size == files[1].stat().st_size and files[0].stat().st_mtime_ns == 10**18
    after = IN_FILES[kind](tmp_path / "in")
    assert after.ids == before.ids and sorted(map(after.read, range(2))) == sorted((FIRST, SECOND))
    assert not {*after.stamps} & {*stamps} and after.signature != signature


def test_files_swapped_in_a_crawl_are_broken(tmp_path: Path) -> None:
    """Its images are known by their content, so that it may be moved; predictions of other bytes would be false."""
    (tmp_path / "crawl" / "images").mkdir(parents=True)
    (tmp_path / "crawl" / "index.sqlite").touch()
    files = [tmp_path / "crawl" / "images" / f"{hashlib.sha256(data).hexdigest()}.png" for data in (FIRST, SECOND)]
    for file, data in zip(files, (FIRST, SECOND), strict=True):
        file.write_bytes(data)
    assert {open_images(tmp_path / "crawl").read(position) for position in range(2)} == {FIRST, SECOND}
    swap(*files)
    with pytest.raises(BrokenImage, match="not the bytes that it is named by"):
        open_images(tmp_path / "crawl").read(0)


@pytest.mark.parametrize("kind", ["archive", "parquet"])
def test_a_file_of_images_that_is_replaced_is_seen(tmp_path: Path, kind: str) -> None:
    made = {
        "archive": lambda name, data: zipped(tmp_path / name, {"a.png": data, "b.png": OTHER}),
        "parquet": lambda name, data: write(tmp_path / name, range(2) if data == FIRST else range(2, 4)),
    }[kind]
    suffix = {"archive": "zip", "parquet": "parquet"}[kind]
    file, other = made(f"a.{suffix}", FIRST), made(f"b.{suffix}", SECOND)
    before = open_images(file)
    stamps, signature = list(before.stamps), before.signature
    assert len({*stamps}) == 2 and list(open_images(file).stamps) == stamps
    swap(file, other)
    after = open_images(file)
    assert not {*after.stamps} & {*stamps} and after.signature != signature


def kinds(folder: Path) -> dict[str, ImageSource]:
    """The same two images in a source of each local kind that holds any images."""
    files = by_class(folder / "in")
    shutil.make_archive(str(folder / "packed"), "zip", folder / "in")
    hashes = [hashlib.sha256(data).hexdigest() for data in (SECOND, FIRST)]
    memory = EncodedImages("memory", hashes, pa.chunked_array([[SECOND, FIRST]]), np.array([430, 890]))
    assert files[1].read_bytes() == SECOND
    return {
        "folder": open_images(folder / "in"),
        "by class": open_images(folder / "in", labelled=True),
        "archive": open_images(folder / "packed.zip"),
        "memory": memory,
        "selected": open_images(folder / "in", labelled=True).take([1, 0]).take([1, 0]),
        "joined": Joined({"x": memory.take([0]), "y": memory.take([1])}),
    }


def test_every_kind_reads_opens_and_is_taken_apart_alike(tmp_path: Path) -> None:
    for kind, images in kinds(tmp_path).items():
        assert [images.read(position) for position in range(len(images))] == [SECOND, FIRST], kind
        assert len(images) == len(images.ids) == len({*images.stamps}) == 2 and images.title
        assert images.open(1).tobytes() == images.require(1).tobytes() != images.open(0).tobytes()
        taken = images.take(np.array([1, 1, 0]))
        assert [taken.read(position) for position in range(3)] == [FIRST, FIRST, SECOND], kind
        assert list(taken.ids) == [images.ids[position] for position in (1, 1, 0)]
        if kind in ("by class", "memory", "selected", "joined"):
            assert images.known_labels.tolist() == [430, 890] and taken.known_labels.tolist() == [890, 890, 430]
        else:
            assert images.labels is None and taken.labels is None
        assert taken.signature != images.signature
        sent = pickle.loads(pickle.dumps(images))  # to the workers of a cluster
        assert sent.read(1) == FIRST and list(sent.stamps) == list(images.stamps), kind


def test_joined_images_say_where_they_are_from(tmp_path: Path) -> None:
    images = kinds(tmp_path)["joined"]
    assert isinstance(images, Joined)
    assert list(images.names) == ["x", "y"]
    assert list(images.ids) == [f"{a}/{b}" for a, b in zip("xy", images.own_ids, strict=True)]
    assert Joined({}).labels is None and len(Joined({})) == 0


def test_an_image_that_is_required_is_named(tmp_path: Path) -> None:
    broken = EncodedImages("some images", ["first"], pa.chunked_array([[FIRST[:50]]]))
    with pytest.raises(UserError, match=r"some images: first is broken \(.*\); remove it"):
        broken.require(0)


def test_suffixes_are_those_of_the_formats_that_are_decoded() -> None:
    from PIL import Image

    by_format = {suffix for suffix, format in Image.registered_extensions().items() if format in FORMATS}
    assert by_format | {".avif", ".avifs"} == SUFFIXES  # some builds of Pillow lack AVIF
