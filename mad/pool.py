"""Unlabelled images to mine: a folder, a crawl, parquet files, a data set of the Hub, or the embedded pool.

A pool is what `benchmark.predict.predict` takes (`ids`, `stamps`, `len`, `open`), with a `title` for people, which
`open_pool` takes again, and a `signature` that changes when its images do.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmark.errors import UserError
from benchmark.images import SUFFIXES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from PIL import Image

CRAWL = Path("crawl")  # where `mad.crawl` puts what it finds, seen from the working directory
EMBEDDED, EMBEDDED_TITLE = "mini", "the embedded pool"
EMBEDDED_SPLITS = ("pool", "edit", "dev_edit")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
ATTRIBUTION = "attribution.csv"  # in a crawl's folder (`mad.crawling.attribution`)
CREDIT = ("owner", "owner_name", "title", "page_url", "licence", "licence_url", "photo_id", "sha256")


class Pool(Protocol):
    """Images by position.

    `ids` name them, `stamps` change when they do (see `benchmark.predict`). `read` gives an image's file as it is;
    `open` decodes it, at a smaller scale if there is a `draft` (see `benchmark.images.decode`). Both raise
    `benchmark.images.BrokenImage` where that cannot be done.
    """

    @property
    def title(self) -> str: ...

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def stamps(self) -> Sequence[str]: ...

    @property
    def signature(self) -> str: ...

    def __len__(self) -> int: ...

    def read(self, position: int) -> bytes: ...

    def open(self, position: int, draft: int | None = None) -> Image.Image: ...


@dataclass(frozen=True)
class FolderPool:
    """The image files in a folder and the folders below it, by name; ids are paths relative to `root`.

    Hidden files and folders are left out, and so is all that is no regular file or has no image's suffix.
    Nothing is opened until it is asked for. A file whose path, size and times of change are the same is taken
    for the same image: reading a million files again to be sure would take longer than a search.
    """

    root: Path

    @property
    def title(self) -> str:
        return str(self.root)

    @cached_property
    def _files(self) -> list[tuple[str, str]]:
        """Path below `root`, and size and times (ns) of last modification and change, of each file, sorted."""
        return sorted(_image_files(self.root, ""))

    @cached_property
    def ids(self) -> Sequence[str]:
        # Linux allows file names that are no Unicode; tables and reports don't.
        return [os.fsencode(path).decode("utf-8", "backslashreplace") for path, _ in self._files]

    @property
    def stamps(self) -> Sequence[str]:
        root = self.root.resolve()
        return [f"{root / path}\0{facts}" for path, facts in self._files]

    @cached_property
    def signature(self) -> str:
        digest = hashlib.sha256()
        for path, facts in self._files:
            digest.update(os.fsencode(path) + f"\0{facts}\n".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._files)

    def read(self, position: int) -> bytes:
        from benchmark.images import BrokenImage

        try:
            return (self.root / self._files[position][0]).read_bytes()
        except OSError as error:
            raise BrokenImage(f"cannot be read ({error.strerror})") from error

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        from benchmark.images import decode

        return decode(self.root / self._files[position][0], draft)


@dataclass(frozen=True)
class CrawlPool(FolderPool):
    """What `mad.crawl` put into the folder `root`: the files in `images`, each named by its SHA-256."""

    @cached_property
    def _files(self) -> list[tuple[str, str]]:
        return sorted((f"images/{path}", facts) for path, facts in _image_files(self.root / "images", ""))

    @property
    def stamps(self) -> Sequence[str]:
        return [Path(path).stem for path, _ in self._files]


@dataclass(frozen=True)
class EncodedPool:
    """Encoded images in memory, such as the embedded pool; ids are the SHA-256 of their bytes."""

    title: str
    ids: Sequence[str]
    encoded: pa.ChunkedArray

    @property
    def stamps(self) -> Sequence[str]:
        return self.ids

    @cached_property
    def signature(self) -> str:
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, position: int) -> bytes:
        return self.encoded[position].as_py()

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        from benchmark.images import decode

        return decode(self.read(position), draft)


def open_pool(source: str | Path | None = None) -> Pool:
    """The pool that `source` names; without one, `./crawl` if it is there, else the embedded pool.

    Args:
        source: a folder of images, of a crawl or of parquet files; a parquet file; `NAMESPACE/NAME` or
            `NAMESPACE/NAME:SPLIT` of the Hub, unless there is a folder of that name; or `mini`, the embedded pool.

    Raises:
        UserError: if there is no such pool, or no image in it.
    """
    from mad.tables import hub_pool, parquet_pool

    if source is None:
        return open_pool(CRAWL) if CRAWL.is_dir() else embedded_pool()
    path = Path(source)
    if path.is_file() and path.suffix == ".parquet":
        return parquet_pool(path)
    if path.is_dir():
        return _folder(path)
    if str(source) in (EMBEDDED, EMBEDDED_TITLE):
        return embedded_pool()
    if HUB_NAME.fullmatch(str(source)) and not path.exists() and not str(source).startswith("."):
        return hub_pool(str(source))
    problem = "not a folder" if path.exists() else "no such folder"
    raise UserError(
        f"{path}: {problem}; --pool takes a folder of images, a crawl, parquet files, "
        "NAMESPACE/NAME of the Hub, or mini"
    )


def _folder(path: Path) -> Pool:
    from mad.tables import parquet_pool

    is_crawl = (path / "images").is_dir() and any((path / name).is_file() for name in (ATTRIBUTION, "index.sqlite"))
    pool = CrawlPool(path) if is_crawl else FolderPool(path)
    if len(pool):
        return pool
    if not is_crawl and any(path.rglob("*.parquet")):
        return parquet_pool(path)
    looked_for = ", ".join(sorted(SUFFIXES))
    raise UserError(f"{path}: no images in it or below (looked for {looked_for}, and for parquet files)")


def attribution(pool: Pool, images: Iterable[str]) -> pd.DataFrame:
    """Whose pictures these are, as far as a crawl's table says: `image` and the columns of `CREDIT`, as strings.

    Raises:
        UserError: if the crawl's table lacks a column.
    """
    import pandas as pd

    columns, found = ["image", *CREDIT], [pd.DataFrame(columns=["image", *CREDIT], dtype=str)]
    table = pool.root / ATTRIBUTION if isinstance(pool, CrawlPool) else None
    if table is not None and table.is_file():
        wanted = {*images}
        chunks = pd.read_csv(table, dtype=str, keep_default_na=False, chunksize=100_000)
        with chunks as rows:
            for chunk in rows:
                chunk = chunk.rename(columns={"file": "image"})
                if missing := {*columns}.difference(chunk.columns):
                    raise UserError(f"{table}: lacks the column {min(missing)}; run mad.crawl again, which writes it")
                found.append(chunk.loc[chunk["image"].isin(wanted), columns])
    return pd.concat(found, ignore_index=True).drop_duplicates("image")


def embedded_pool() -> EncodedPool:
    """The mini benchmark's images, labels left aside: every picture once, in the order of the data set."""
    import numpy as np
    import pyarrow as pa

    from benchmark.dataset import MINI, read_split

    splits = [read_split(MINI, split) for split in EMBEDDED_SPLITS]
    ids = np.concatenate([split.table["sha256"].to_numpy(str) for split in splits])
    encoded = pa.chunked_array([chunk for split in splits for chunk in split.encoded.chunks])
    rows = np.sort(np.unique(ids, return_index=True)[1])
    return EncodedPool(EMBEDDED_TITLE, ids[rows].tolist(), encoded.take(pa.array(rows)))


def _image_files(folder: Path, below: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _image_files(folder / entry.name, f"{below}{entry.name}/")
            elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
                found = entry.stat()
                yield below + entry.name, f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
