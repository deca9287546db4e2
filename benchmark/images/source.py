"""The one image source: images by position, in a folder, an archive, a table, on the Hub or in memory.

Each of these is a subclass of `ImageSource`; `benchmark.images.open` opens one by its name on a command line. Nothing
else in the project reads images from a folder, an archive, a table or the Hub.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.core.errors import UserError
from benchmark.images.decode import BrokenImage, decode, decoding

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
        """Printable names of the images (n,), for tables and reports."""

    @property
    @abstractmethod
    def stamps(self) -> Sequence[str]:
        """Strings (n,) that change when an image's bytes do; the keys of stored predictions.

        A file is known by its path, size and times of change (ns): to read a million files again, to be sure, would
        take longer than a search.
        """

    @property
    def labels(self) -> np.ndarray | None:
        """ImageNet-1k class indices, int64 (n,), or None where the source knows none."""
        return None

    @property
    def known_labels(self) -> np.ndarray:
        """`labels`, where they are needed. Raises `UserError` where there are none."""
        if self.labels is None:
            raise UserError(
                f"{self.title}: images without labels; give a folder of images per class (folder/class/image.jpg)"
            )
        return self.labels

    @property
    def signature(self) -> str:
        """Hex SHA-256 that changes when any image does, or their order."""
        return hashlib.sha256("\n".join(self.stamps).encode("utf-8", "surrogateescape")).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def read(self, position: int) -> bytes:
        """An image as it is encoded. Raises `BrokenImage` where it cannot be read."""

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        """An image, decoded (see `benchmark.images.decode.decode`). Raises `BrokenImage` where it does not decode."""
        return decode(self.read(position), draft)

    @contextlib.contextmanager
    def opening(self, position: int, draft: int | None = None) -> Iterator[Image.Image]:
        """An image as `open` gives it, for a block that makes something smaller of it; many threads may do so at once.

        See `benchmark.images.decode.decoding`.
        """
        with decoding(self.read(position), draft) as image:
            yield image

    def require(self, position: int, draft: int | None = None) -> Image.Image:
        """An image that cannot be left out, decoded. Raises `UserError` where it does not decode."""
        try:
            return decode(self.read(position), draft)
        except BrokenImage as error:
            raise self.name_broken(position, error) from error

    def name_broken(self, position: int, error: BrokenImage) -> UserError:
        """The error for an image that cannot be left out and does not decode."""
        return UserError(f"{self.title}: {self.ids[position]} is broken ({error}); remove it or fetch it again")

    def take(self, positions: Sequence[int] | np.ndarray) -> ImageSource:
        """The images at these positions, in this order; none of them is copied."""
        return Selected(self, positions)


class Selected(ImageSource):
    """A selection of another source's images, in another order."""

    def __init__(self, source: ImageSource, positions: Sequence[int] | np.ndarray) -> None:
        import numpy as np

        self._source, self._positions = source, np.asarray(positions, dtype=np.int64)

    @property
    def title(self) -> str:
        return self._source.title

    @cached_property
    def ids(self) -> Sequence[str]:
        ids = self._source.ids
        return [ids[position] for position in self._positions.tolist()]

    @property
    def stamps(self) -> Sequence[str]:
        stamps = self._source.stamps
        return [stamps[position] for position in self._positions.tolist()]

    @property
    def labels(self) -> np.ndarray | None:
        labels = self._source.labels
        return None if labels is None else labels[self._positions]

    def __len__(self) -> int:
        return len(self._positions)

    def read(self, position: int) -> bytes:
        return self._source.read(int(self._positions[position]))

    @contextlib.contextmanager
    def opening(self, position: int, draft: int | None = None) -> Iterator[Image.Image]:
        with self._source.opening(int(self._positions[position]), draft) as image:
            yield image

    def require(self, position: int, draft: int | None = None) -> Image.Image:
        return self._source.require(int(self._positions[position]), draft)

    def name_broken(self, position: int, error: BrokenImage) -> UserError:
        return self._source.name_broken(int(self._positions[position]), error)

    def take(self, positions: Sequence[int] | np.ndarray) -> ImageSource:
        import numpy as np

        return Selected(self._source, self._positions[np.asarray(positions, dtype=np.int64)])


class Joined(ImageSource):
    """Several sources one after the other, by name; an image's id is ``<name>/<its own id>``."""

    def __init__(self, sources: Mapping[str, ImageSource]) -> None:
        self._sources = dict(sources)
        self._places = [(name, position) for name, source in sources.items() for position in range(len(source))]

    @property
    def title(self) -> str:
        return ", ".join(source.title for source in self._sources.values())

    @property
    def names(self) -> Sequence[str]:
        """Name of the source that each image is from, (n,)."""
        return [name for name, _ in self._places]

    @cached_property
    def own_ids(self) -> Sequence[str]:
        """The images' ids in their own sources, (n,)."""
        return [id for source in self._sources.values() for id in source.ids]

    @cached_property
    def ids(self) -> Sequence[str]:
        return [f"{name}/{id}" for name, id in zip(self.names, self.own_ids, strict=True)]

    @property
    def stamps(self) -> Sequence[str]:
        return [stamp for source in self._sources.values() for stamp in source.stamps]

    @cached_property
    def labels(self) -> np.ndarray | None:
        import numpy as np

        labels = [source.labels for source in self._sources.values()]
        known = [array for array in labels if array is not None]
        return np.concatenate(known) if known and len(known) == len(labels) else None

    def __len__(self) -> int:
        return len(self._places)

    def read(self, position: int) -> bytes:
        name, own_position = self._places[position]
        return self._sources[name].read(own_position)
