"""Open what a command line names as images: the only way in.

Names of embedded pools are registered from above (`register`): what opens images knows no data set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.images.decode import SUFFIXES
from benchmark.images.sources import CrawlPool, FolderPool, Pool

CRAWL = Path("crawl")  # where `mad.crawl` puts what it finds, seen from the working directory
DEFAULT = "mini"  # the registered pool that is opened where nothing is named
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
ATTRIBUTION = "attribution.csv"  # in a crawl's folder (`mad.crawling.attribution`)
NAMED: dict[str, Callable[[], Pool]] = {}


def register(name: str, opener: Callable[[], Pool]) -> None:
    """Let `open_pool` take `name`."""
    NAMED[name] = opener


def open_pool(source: str | Path | None = None) -> Pool:
    """The pool that `source` names; without one, `./crawl` if it is there, else the embedded pool.

    Args:
        source: a folder of images, of a crawl or of parquet files; a parquet file; `NAMESPACE/NAME` or
            `NAMESPACE/NAME:SPLIT` of the Hub, unless there is a folder of that name; or `mini`, the embedded pool.

    Raises:
        UserError: if there is no such pool, or no image in it.
    """
    from benchmark.images.tables import hub_pool, parquet_pool

    if source is None:
        return open_pool(CRAWL) if CRAWL.is_dir() else NAMED[DEFAULT]()
    path = Path(source)
    if path.is_file() and path.suffix == ".parquet":
        return parquet_pool(path)
    if path.is_dir():
        return _folder(path)
    if str(source) in NAMED:
        return NAMED[str(source)]()
    if HUB_NAME.fullmatch(str(source)) and not path.exists() and not str(source).startswith("."):
        return hub_pool(str(source))
    problem = "not a folder" if path.exists() else "no such folder"
    raise UserError(
        f"{path}: {problem}; --pool takes a folder of images, a crawl, parquet files, "
        "NAMESPACE/NAME of the Hub, or mini"
    )


def _folder(path: Path) -> Pool:
    from benchmark.images.tables import parquet_pool

    is_crawl = (path / "images").is_dir() and any((path / name).is_file() for name in (ATTRIBUTION, "index.sqlite"))
    pool = CrawlPool(path) if is_crawl else FolderPool(path)
    if len(pool):
        return pool
    if not is_crawl and any(path.rglob("*.parquet")):
        return parquet_pool(path)
    looked_for = ", ".join(sorted(SUFFIXES))
    raise UserError(f"{path}: no images in it or below (looked for {looked_for}, and for parquet files)")
