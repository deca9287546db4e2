"""Open the images that a command line names: the only way in.

Names of embedded images are registered from above (`register`), since this room knows no data set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, overload

from benchmark.core.errors import UserError
from benchmark.core.files import like, near_path
from benchmark.images.archive import ImageArchive
from benchmark.images.card import embedded_in
from benchmark.images.decode import SUFFIXES
from benchmark.images.files import ImageFiles
from benchmark.images.folder import CRAWLED, ClassFolder, Crawl, ImageFolder
from benchmark.images.shards import list_parquet
from benchmark.images.source import ImageSource

CRAWL = Path("crawl")  # where `mad.crawl` puts what it finds, seen from the working directory
DEFAULT = "mini"  # the registered name that is opened where nothing is named
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[^:\s]+)?(:[\w.-]+)?")
ATTRIBUTION = "attribution.csv"  # in a crawl's folder (`mad.crawling.credits`)
Opener = Callable[[str | None], ImageSource]  # of embedded images: one split, or without one those to mine
OPENERS: dict[str, Opener] = {}  # from the names of embedded images


def register(name: str, opener: Opener) -> None:
    """Let `open_images` take `name`."""
    OPENERS[name] = opener


@overload
def open_images(spec: str | Path, *, files: Literal[True], links_out: bool = True) -> ImageFiles: ...


@overload
def open_images(spec: str | Path | None = None, *, labelled: bool = False, split: str | None = None) -> ImageSource: ...


def open_images(
    spec: str | Path | None = None,
    *,
    labelled: bool = False,
    split: str | None = None,
    files: bool = False,
    links_out: bool = True,
) -> ImageSource:
    """The images that `spec` names; without one, those of `./crawl` if it is there, else the embedded ones.

    Args:
        spec: the name of embedded images (`mini`); a folder of images, of a crawl or of parquet files; a parquet
            file; a ZIP archive; or `NAMESPACE/NAME`, `NAMESPACE/NAME:SPLIT` or `NAMESPACE/NAME@REVISION:SPLIT` of the
            Hub. A folder whose card lists embedded images, as a fresh clone's does, is these.
        labelled: labels are needed, so a folder must have one folder per class or the Hub's layout; embedded images are
            the training images.
        split: a split's name, for a data set that has splits: on the Hub, in its layout or embedded.
        files: accept only a folder or ZIP archive, whose other files (tables) can be read, too.
        links_out: whether a link in a folder may lead out of it.

    Raises:
        UserError: if there is no such thing, no image in it, or no labels though they are needed.
    """
    if spec is None:
        spec = CRAWL if CRAWL.is_dir() else DEFAULT
    spec = embedded_in(Path(spec)) or spec
    path = Path(spec)
    if files:
        return _open_files(path, links_out)
    if str(spec) in OPENERS:
        source = OPENERS[str(spec)](split or ("train" if labelled else None))  # those to mine have no labels
    elif path.is_dir():
        source = _open_folder(path, labelled, split)
    elif path.exists():
        source = _open_file(path)
    elif HUB_NAME.fullmatch(str(spec)) and not str(spec).startswith(".") and not near_path(path):
        from benchmark.images.hub import open_hub

        source = open_hub(str(spec), split, labelled)
    else:
        raise UserError(
            f"{path}: no such file or folder{like(path)}; give a folder of images, a crawl, a ZIP archive, "
            f"parquet files, NAMESPACE/NAME of the Hub, or {DEFAULT}"
        )
    if labelled:
        _ = source.known_labels
    return source


def _open_files(path: Path, links_out: bool) -> ImageFiles:
    if path.is_dir():
        return ImageFolder(path, links_out)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder{like(path)}; give a folder or a ZIP archive")
    return ImageArchive(path)


def _open_file(path: Path) -> ImageSource:
    if path.suffix == ".parquet":
        from benchmark.images.parquet import open_parquet

        return open_parquet(path)
    archive = ImageArchive(path)
    if not len(archive):
        raise UserError(f"{path}: no images in it (looked for {_list_suffixes()})")
    return archive


def _open_folder(path: Path, labelled: bool, split: str | None) -> ImageSource:
    if (labelled or split) and (path / "data").is_dir():
        from benchmark.images.hub import open_hub

        return open_hub(str(path), split, labelled)
    if labelled:
        return ClassFolder(path)
    is_crawl = (path / CRAWLED).is_dir() and any((path / name).is_file() for name in (ATTRIBUTION, "index.sqlite"))
    folder = Crawl(path) if is_crawl else ImageFolder(path)
    if len(folder):
        return folder
    if not is_crawl and list_parquet(path):
        from benchmark.images.parquet import open_parquet

        return open_parquet(path)
    raise UserError(f"{path}: no images in it or below (looked for {_list_suffixes()}, and for parquet files)")


def _list_suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))
