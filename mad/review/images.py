"""A pool's images by name: their bytes for export, and a rendition for the screen."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from benchmark.core.errors import UserError
from benchmark.core.text import find_by_name
from benchmark.images.decode import BrokenImage, decoding
from benchmark.images.open import open_images
from benchmark.images.source import ImageSource
from mad.review.groups import Candidates

LONGEST = 1600  # pixels of the longer side on the screen
QUALITY = 92  # of JPEG: no artefact that could be taken for a feature


@dataclass(frozen=True)
class Picture:
    """An image as the page shows it, and the SHA-256 (hex) of the file that it was made from.

    It is a JPEG because the page waits for it: WebP takes ten times as long to make.
    """

    jpeg: bytes
    sha256: str


@dataclass(frozen=True)
class PoolImages:
    """The images of `pool` that are up for review, by name; a name that is not in the pool has no position."""

    pool: ImageSource
    positions: dict[str, int]

    def read(self, image: str) -> bytes:
        """The encoded file of an image.

        Raises:
            BrokenImage: if the pool has no such image, or it cannot be read.
        """
        if image not in self.positions:
            raise BrokenImage("not in the pool")
        return self.pool.read(self.positions[image])

    def render(self, image: str) -> Picture:
        """An image decoded and encoded anew, so that a browser never gets bytes that somebody else wrote.

        Raises:
            BrokenImage: if it is not in the pool or does not decode.
        """
        image_bytes = self.read(image)
        with decoding(image_bytes, draft=LONGEST) as picture:  # the page asks for several at once
            picture.thumbnail((LONGEST, LONGEST))
        picture.info.clear()  # comments and profiles stay behind
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=QUALITY, subsampling="4:4:4")
        return Picture(jpeg.getvalue(), hashlib.sha256(image_bytes).hexdigest())


def find_images(candidates: Candidates, source: str | None = None) -> PoolImages:
    """The images of `candidates` in the pool that was searched, or in `source` if that has moved.

    Raises:
        UserError: if the pool is not there.
    """
    try:
        pool = open_images(source or candidates.search["command"]["pool"])
    except UserError as error:
        raise (
            error if source else UserError(f"the pool that was searched must be named with --pool: {error}")
        ) from error
    find = find_by_name({name: position for position, name in enumerate(pool.ids)})
    positions = {image.name: find(image.name) for image in candidates.images}
    return PoolImages(pool, {name: position for name, position in positions.items() if position is not None})
