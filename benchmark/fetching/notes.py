"""The values of a lock file, as pydantic checks them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue


def _is_below(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in path or "\0" in path:
        raise ValueError("must be a path below the source's folder")
    return path


def _row_group(group: list[JsonValue]) -> list[JsonValue]:
    file, *numbers = group
    if not isinstance(file, str) or len(numbers) != 3 or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("must be a file and three numbers")
    _is_below(file)
    return group


Below = Annotated[str, AfterValidator(_is_below)]
RowGroupNote = Annotated[list[JsonValue], AfterValidator(_row_group)]  # file, number, rows, bytes
Count = Annotated[int, Field(ge=0)]


class _Note(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FileNote(_Note):
    """One file: its size, hash, the origin of the hash, and the time of its last change in ns."""

    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    hash_from: str
    mtime_ns: int


class Partial(_Note):
    """The server's own words on a file of which a part is there."""

    url: str
    validator: str
    bytes: Count | None
    md5: str


class Note(_Note):
    """One source: see `benchmark.fetching.lock.Entry` and the origins, which write it."""

    files: dict[Below, FileNote] = {}
    partial: Partial | None = None
    archive: FileNote | None = None
    row_groups: list[RowGroupNote] = []
    revision: str = ""
    local: str = ""
    agreed: str = ""
    fetched: str = ""
    origin: str = ""
    complete: bool = False
