"""Encoded images in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.images.cells import read_cell
from benchmark.images.decode import BrokenImage
from benchmark.images.source import ImageSource

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class EncodedImages(ImageSource):
    """Encoded images in memory, or mapped into it; ids and stamps are the SHA-256 of their bytes.

    Args:
        title: a name for people.
        hashes: hex SHA-256 of each image, (n,).
        encoded: the images, binary (n,).
        labels: ImageNet-1k class indices, int64 (n,), where they are known.
    """

    def __init__(
        self, title: str, hashes: Sequence[str], encoded: pa.ChunkedArray, labels: np.ndarray | None = None
    ) -> None:
        self._title, self._hashes, self.encoded, self._labels = title, hashes, encoded, labels

    @classmethod
    def of(cls, title: str, images: Sequence[bytes]) -> EncodedImages:
        """These encoded images, with their hashes."""
        import pyarrow as pa

        hashes = [hashlib.sha256(image).hexdigest() for image in images]
        return cls(title, hashes, pa.chunked_array([pa.array(images, pa.large_binary())]))

    @property
    def title(self) -> str:
        return self._title

    @property
    def ids(self) -> Sequence[str]:
        return self._hashes

    @property
    def stamps(self) -> Sequence[str]:
        return self._hashes

    @property
    def labels(self) -> np.ndarray | None:
        return self._labels

    @property
    def signature(self) -> str:
        return hashlib.sha256("".join(self._hashes).encode()).hexdigest()  # checkpoints were shipped with it

    def read(self, position: int) -> bytes:
        return self.encoded[position].as_py()


class CellImages(EncodedImages):
    """Encoded images in a table's cells, some of them by path below `folders`; their bytes are checked at each reading.

    `encoded` are the cells (n,), as `benchmark.images.cells` reads them.
    """

    def __init__(
        self,
        title: str,
        hashes: Sequence[str],
        cells: pa.ChunkedArray,
        labels: np.ndarray | None,
        folders: Sequence[Path],
    ) -> None:
        super().__init__(title, hashes, cells, labels)
        self._folders = folders

    def read(self, position: int) -> bytes:
        data = read_cell(super().read(position), self._folders)
        if hashlib.sha256(data).hexdigest() != self._hashes[position]:
            raise BrokenImage("not the bytes that it is named by")
        return data
