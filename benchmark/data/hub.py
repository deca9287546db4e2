"""A data set by its name: a folder, or on the Hub, from where its files are fetched once and at one commit."""

from __future__ import annotations

import logging
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from benchmark.core.errors import UserError
from benchmark.core.files import near_path
from benchmark.core.hub import TIMEOUT, from_hub

log = logging.getLogger(__name__)

HUB_NAME = re.compile(r"\w[\w.-]{0,95}/[\w.-]{1,96}(@[\w./-]{1,96})?")
FILES = ["build.json", "data/*.parquet"]  # all that a benchmark is read from
SPLITS = ("data/edit-*.parquet", "data/locality-*.parquet")  # what it must have
CACHED = re.compile(r"datasets--(?P<owner>.+?)--(?P<name>.+)/snapshots/(?P<commit>[0-9a-f]+)")
TODAY = "take mini, which is embedded, or build the benchmark: python -m benchmark.build --help"


class DataFolder(NamedTuple):
    """A data set's files."""

    folder: Path
    name: str
    """The data set's own name: its folder's, or that of its repository without the owner."""
    source: str
    """The folder as it was named, or OWNER/NAME@COMMIT."""


def locate(spec: str) -> DataFolder:
    """The folder `spec`, or else the data set OWNER/NAME or OWNER/NAME@REVISION in the Hub's cache (see `fetch`)."""
    return fetch(spec, FILES) if is_on_hub(spec) else DataFolder(Path(spec), Path(spec).name, spec)


def is_on_hub(spec: str) -> bool:
    """Return whether `spec` can only be a data set on the Hub: OWNER/NAME, and no folder here is called so, or like it.

    OWNER/NAME@REVISION is never like a folder, so that the Hub is not asked, slowly, for a folder's name with a slip.
    """
    return (
        HUB_NAME.fullmatch(spec) is not None and not Path(spec).exists() and ("@" in spec or not near_path(Path(spec)))
    )


def fetch(spec: str, files: list[str] | None = None) -> DataFolder:
    """The files of a benchmark OWNER/NAME or OWNER/NAME@REVISION on the Hub, fetched where the cache lacks them.

    All files, or those of these patterns. A revision is a commit, a branch or a tag. Where the Hub is silent, the cache
    is enough. Raises `UserError` where there is no such thing, and, before it is fetched, for a data set without the
    splits of a benchmark.
    """
    from huggingface_hub import HfApi, snapshot_download

    name, _, revision = spec.partition("@")
    with from_hub(f"{spec}: no such folder here, and the data set", TODAY) as answers:
        if answers:
            siblings = HfApi().dataset_info(name, revision=revision or None, timeout=TIMEOUT).siblings or []
            for pattern in SPLITS:
                if not any(fnmatch(sibling.rfilename, pattern) for sibling in siblings):
                    raise UserError(f"{spec}: has no {pattern} on the Hub, so it is no benchmark; {TODAY}")
        folder = snapshot_download(name, repo_type="dataset", revision=revision or None, allow_patterns=files)
    source = f"{name}@{Path(folder).name}"
    if not answers:
        log.warning("%s: %s, which the cache has; the Hub was not asked for a newer one", spec, source)
    return DataFolder(Path(folder), name.partition("/")[2], source)


def describe(folder: Path) -> str:
    """The name by which a command takes a folder of data: OWNER/NAME@COMMIT in the Hub's cache, else its path."""
    match = CACHED.search(folder.as_posix())
    return f"{match['owner']}/{match['name']}@{match['commit']}" if match else str(folder)
