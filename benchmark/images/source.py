"""The one image source: images by position, whatever they lie in.

Every place that images come from is a kind of `ImageSource`; `benchmark.images.open` opens one from what a command
line names. Nothing else in the project reads a folder, an archive, a table or the Hub for its images.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class ImageSource(ABC):
    """n images by position, 0 to n - 1, that are read one at a time."""

    @property
    @abstractmethod
    def title(self) -> str:
        """A name for people, which `benchmark.images.open` takes again where it can."""

    @property
    @abstractmethod
    def ids(self) -> Sequence[str]:
        """Printable names (n,), unique in the source: tables and reports name images by them."""

    @property
    @abstractmethod
    def stamps(self) -> Sequence[str]:
        """Strings (n,) that change when an image's bytes do: predictions are kept and known by them."""

    @property
    def labels(self) -> np.ndarray | None:
        """ImageNet-1k class indices, int64 (n,), or None where the source knows none."""
        return None

    @property
    def signature(self) -> str:
        """Hex SHA-256 that changes when any image does, or their order."""
        digest = hashlib.sha256()
        for stamp in self.stamps:
            digest.update(stamp.encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def read(self, position: int) -> bytes:
        """An image as it is encoded. Raises `BrokenImage` where it cannot be read."""

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        """An image, decoded (see `benchmark.images.decode.decode`). Raises `BrokenImage` where it does not decode."""
        from benchmark.images.decode import decode

        return decode(self.read(position), draft)
