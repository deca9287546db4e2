"""Decoding: hostile bytes are one kind of error, honest images come out upright and in colour."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmark.images.decode import BrokenImage, decode


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
