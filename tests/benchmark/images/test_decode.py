"""Decoding: hostile bytes are one kind of error, honest images come out upright and in colour."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmark.images.decode import (
    FORMATS,
    GROUND,
    MAX_ASPECT,
    SUFFIX_OF,
    SUFFIXES,
    BrokenImage,
    decode,
    suffix_of,
)


def encoded(image: Image.Image, kind: str, **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB", "P", "RGBA", "1", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "JPEG" if mode in ("L", "CMYK", "RGB") else "PNG"
    assert decode(encoded(Image.new(mode, (8, 6)), kind)).mode == "RGB"


def test_exif_rotation_is_applied() -> None:
    picture = Image.fromarray(np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    assert decode(encoded(picture, "JPEG", exif=exif.tobytes())).size == (6, 8)


def bomb() -> bytes:
    """A tiny PNG that says it is 60,000 x 60,000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>not found</html>",
        encoded(Image.new("RGB", (200, 200), "red"), "JPEG")[:500],
        encoded(Image.effect_noise((99, 99), 50), "PNG")[:-40],
        bomb(),
    ],
    ids=["empty", "html", "cut jpeg", "cut png", "bomb"],
)
def test_what_is_broken_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenImage):
        decode(data)


RAMP = np.linspace(0, 1, 40 * 30).reshape(30, 40)  # from black to white, of which each test makes an encoding


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4"])
def test_deep_greys_are_the_picture_that_they_show(kind: str, dtype: str) -> None:
    """Of 16 bits and of floats from 0 to 1; a conversion by Pillow alone is white or black nearly everywhere."""
    if dtype == "<f4" and kind == "PNG":
        pytest.skip("PNG has no floats")
    top = 1 if dtype == "<f4" else 65535
    seen = np.asarray(decode(encoded(Image.fromarray((RAMP * top).astype(dtype)), kind)), dtype=float)
    assert seen.shape == (30, 40, 3)
    assert np.abs(seen - 255 * RAMP[..., None]).max() <= 1


@pytest.mark.parametrize("values", [RAMP * 255, RAMP - 0.5, np.where(RAMP > 0.5, np.nan, RAMP)])
def test_greys_without_a_white_are_broken(values: np.ndarray) -> None:
    with pytest.raises(BrokenImage, match="0 to 1"):
        decode(encoded(Image.fromarray(values.astype("<f4")), "TIFF"))
    with pytest.raises(BrokenImage, match="32 bits"):
        decode(encoded(Image.fromarray(np.nan_to_num(values * 1e6).astype("<i4")), "TIFF"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(mode: str) -> None:
    """The left half is red and hidden, the right half is shown: half covered where the mode can say so."""
    alpha = np.zeros((6, 8), np.uint8)
    alpha[:, 4:] = 255 if mode == "P" else 128
    picture = Image.new("RGB", (8, 6), (200, 0, 0))
    picture.putalpha(Image.fromarray(alpha))
    colour = np.array([200, 0, 0]) if mode != "LA" else np.full(3, 60)  # ITU-R 601: 0.299 * 200
    seen = np.asarray(decode(encoded(picture.convert(mode), "PNG")), dtype=float)
    assert (seen[:, :4] == GROUND).all()
    share = 1 if mode == "P" else 128 / 255
    assert np.abs(seen[:, 4:] - (share * colour + (1 - share) * 255)).max() <= 2


def test_a_cover_that_hides_nothing_changes_nothing() -> None:
    picture = Image.effect_noise((20, 20), 60).convert("RGB")
    covered = picture.copy()
    covered.putalpha(255)
    assert np.array_equal(np.asarray(decode(encoded(covered, "PNG"))), np.asarray(picture))


@pytest.mark.parametrize("size", [(65_000, 1), (1, 65_000), (MAX_ASPECT * 3 + 1, 3)])
def test_a_strip_is_broken_before_it_is_resized(size: tuple[int, int]) -> None:
    with pytest.raises(BrokenImage, match="strip"):
        decode(encoded(Image.new("L", size), "PNG"))
    assert decode(encoded(Image.new("L", (MAX_ASPECT * 3, 3)), "PNG")).size == (MAX_ASPECT * 3, 3)


def test_a_jpeg_with_a_second_picture_is_its_first_and_a_jpg() -> None:
    first, second = Image.effect_noise((64, 48), 40), Image.new("L", (16, 12))
    both = encoded(first, "MPO", save_all=True, append_images=[second])
    assert decode(both).size == (64, 48)
    assert suffix_of(both) == suffix_of(encoded(first, "JPEG")) == ".jpg"
    assert suffix_of(encoded(first, "PNG")) == ".png" and suffix_of(encoded(first, "TIFF")) == ".tif"
    assert {SUFFIX_OF.get(name, f".{name.lower()}") for name in FORMATS} <= SUFFIXES, "and is read again"
    with pytest.raises(BrokenImage):
        suffix_of(b"no image")


@pytest.mark.parametrize(
    "notes", [b"", bytes(range(60)), b"II*\0\x08\0\0\0\x09\0\x12\x01"], ids=["none", "noise", "cut"]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_notes_that_cannot_be_read_cost_nothing(notes: bytes) -> None:
    plain, block = encoded(Image.effect_noise((64, 48), 40).convert("RGB"), "JPEG"), b"Exif\0\0" + notes
    damaged = plain[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + plain[2:]
    assert np.array_equal(np.asarray(decode(damaged)), np.asarray(decode(plain)))
