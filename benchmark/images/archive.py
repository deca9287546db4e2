"""Images in a ZIP archive, read member by member: the archive is neither trusted nor unpacked.

Opening an archive checks all of it by its own table of contents. Members are read one at a time into memory, never
onto the disk.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from benchmark.core.errors import UserError
from benchmark.core.files import sha256
from benchmark.core.readers import check_file
from benchmark.core.text import printable
from benchmark.images.decode import BrokenImage
from benchmark.images.files import MAX_FILE, ImageFiles, is_hidden, metadata

# Limits, chosen far above what the releases need: 4,306 + 2,071 photographs of at most a few MB.
MAX_TOTAL = 64 << 30  # bytes of all files of an archive
MAX_FILES = 200_000
MAX_RATIO = 100  # bytes unpacked for one packed: encoded images hardly shrink
FREE_RATIO = 1 << 20  # bytes below which a good ratio is no bomb


class ImageArchive(ImageFiles):
    """The image files in a ZIP archive. Opening it raises `UserError` for any sign that it is no released one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        check_file(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            raise UserError(f"{path}: must be a ZIP archive, whole and undamaged; fetch it again") from error
        members = self._zip.infolist()
        problem = _find_problem(members, path.stat().st_size)
        if problem:
            raise UserError(f"{path}: {problem}; this is not the released archive, fetch it again")
        self._members = {
            member.filename: member
            for member in members
            if not member.is_dir() and not any(map(is_hidden, member.filename.split("/")))
        }

    def __reduce__(self) -> tuple[type[ImageArchive], tuple[Path]]:
        return ImageArchive, (self.path,)  # an open file cannot go to another process

    @property
    def title(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return printable(self.path.name)

    @property
    def files(self) -> frozenset[str]:
        return frozenset(self._members)

    @property
    def stamps(self) -> Sequence[str]:
        file = f"{self.path.resolve()}\0{metadata(self.path.stat())}"
        return [f"{file}\0{path}" for path in self.paths]

    def read_file(self, path: str) -> bytes:
        try:
            return self._zip.read(self._members[path])  # at most the declared size, and its CRC is checked
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise BrokenImage("damaged in the archive") from error

    def provenance(self) -> dict[str, str | int]:
        return {"input": self.name, "sha256": sha256(self.path)}


def _find_problem(members: list[zipfile.ZipInfo], packed: int) -> str:
    """The first problem of an archive of `packed` bytes as a whole, or nothing."""
    if len(members) > MAX_FILES:
        return f"holds {len(members):,} files, more than {MAX_FILES:,}"
    names: set[str] = set()
    for member in members:
        problem = "is there twice" if member.filename in names else _find_member_problem(member)
        names.add(member.filename)
        if problem:
            return f'"{printable(member.orig_filename)[:100]}" {problem}'
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL:
        return f"would unpack to {total >> 30:,} GiB, more than {MAX_TOTAL >> 30}"
    if total > max(MAX_RATIO * packed, FREE_RATIO):  # members that overlap declare more than the file can hold
        return f"would unpack to {total / packed:,.0f} times its size"
    return ""


def _find_member_problem(member: zipfile.ZipInfo) -> str:
    name = member.orig_filename
    file_type = stat.S_IFMT(member.external_attr >> 16)
    if not name:
        return "is a member without a name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if "\\" in name or "\0" in name or ".." in PurePosixPath(name).parts:
        return "is a path out of the archive, or looks like one"
    if file_type not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by a method that the releases do not use"
    if member.file_size > MAX_FILE:
        return f"is larger than {MAX_FILE >> 20} MiB"
    if member.file_size > max(MAX_RATIO * member.compress_size, FREE_RATIO):
        return f"would unpack to {member.file_size / max(member.compress_size, 1):,.0f} times its size"
    return ""
