"""Duplicates and near duplicates of pictures: fingerprints, and bands that find near ones without all pairs.

The perceptual hash is ImageHash's `phash`: a bit for each of the 64 lowest frequencies of the 32 x 32 grey picture, set
where it is above their median. Two pictures are near duplicates if at most `NEAR` of the 64 bits differ. Of `NEAR` + 1
bands, near hashes agree in at least one, whichever bits differ (pigeonhole), so looking up each band finds them all.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# Chosen here, as neither the paper nor SPEC has a number: other sizes and encodings of a photograph are 0 to 2 bits
# away (the tests measure one), a crop by 2 % is 4 and another photograph some 32. As a rule half of the bits are
# set, so that distances are even.
NEAR = 3
BANDS = NEAR + 1
BITS = 64 // BANDS  # bits a band


def compute_sha256(data: bytes) -> str:
    """Hex SHA-256 of an image's bytes: exact duplicates have the same one."""
    return hashlib.sha256(data).hexdigest()


def compute_phash(image: Image.Image) -> str:
    """The 64-bit perceptual hash of a decoded image, as 16 hex digits."""
    import imagehash

    return str(imagehash.phash(image))


def count_different_bits(first: str, second: str) -> int:
    """Number of the 64 bits in which two perceptual hashes differ (Hamming distance)."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def split_into_bands(phash: str) -> tuple[int, ...]:
    """A perceptual hash cut into `BANDS` numbers of `BITS` bits, the lowest bits first."""
    value = int(phash, 16)
    return tuple(value >> (BITS * i) & (1 << BITS) - 1 for i in range(BANDS))
