"""Reading the files of a folder or a ZIP archive by name, without trusting either and without unpacking.

An archive is looked over as a whole when it is opened, by its own table of contents; its members are read one
at a time into memory, never onto the disk. Images are the files that have an image's suffix; hidden files and
folders, and macOS's resource forks, are left out.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from benchmark.core.errors import UserError
from benchmark.core.text import printable
from benchmark.images.decode import SUFFIXES, BrokenImage

# Limits, chosen far above what the releases need: 4,306 + 2,071 photographs of at most a few MB.
MAX_FILE = 64 << 20  # bytes of one file
MAX_TOTAL = 64 << 30  # bytes of all files of an archive
MAX_FILES = 200_000
MAX_RATIO = 100  # bytes unpacked for one packed: encoded images hardly shrink
FREE_RATIO = 1 << 20  # bytes below which a good ratio is no bomb


class Tree(Protocol):
    """Files by name. `title` is for people, `images` are relative paths with ``/``, sorted."""

    @property
    def title(self) -> str: ...

    @property
    def files(self) -> frozenset[str]: ...

    @property
    def images(self) -> list[str]: ...

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises `BrokenImage` for one that is damaged or too large."""

    def provenance(self) -> dict[str, str | int]:
        """What it was, for the record: its base name, and its hash or how many files it has."""


@dataclass(frozen=True)
class FolderTree:
    """A folder with all folders below it. Links to folders are not followed."""

    root: Path

    @property
    def title(self) -> str:
        return self.root.resolve().name

    @cached_property
    def files(self) -> frozenset[str]:
        return frozenset(_walk(self.root, ""))

    @cached_property
    def images(self) -> list[str]:
        return sorted(filter(_is_image, self.files))

    def read(self, name: str) -> bytes:
        path = self.root / name
        if path.stat().st_size > MAX_FILE:
            raise BrokenImage(f"larger than {MAX_FILE >> 20} MiB")
        return path.read_bytes()

    def provenance(self) -> dict[str, str | int]:
        return {"input": printable(self.title), "files": len(self.images)}


class ZipTree:
    """A ZIP archive, read member by member; opening it raises `UserError` for whatever an honest one lacks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.title = path.name
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            raise UserError(f"{path}: no ZIP archive, or a damaged or cut-short one; fetch it again") from error
        members = self._zip.infolist()
        problem = _problem(members, path.stat().st_size)
        if problem:
            raise UserError(f"{path}: {problem}; this is not the released archive, fetch it again")
        self._members = {member.filename: member for member in members if not member.is_dir()}
        self.files = frozenset(self._members)
        self.images = sorted(name for name in self.files if _is_image(name))

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(self._members[name])  # at most the declared size, and its CRC is checked
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise BrokenImage("damaged in the archive") from error

    def provenance(self) -> dict[str, str | int]:
        from benchmark.core.files import sha256

        return {"input": printable(self.title), "sha256": sha256(self.path)}


def open_tree(path: Path) -> Tree:
    """The folder or ZIP archive at `path`.

    Raises:
        UserError: if there is nothing, or something else, or an archive that is damaged or hostile.
    """
    if path.is_dir():
        return FolderTree(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give a folder or a ZIP archive")
    return ZipTree(path)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def _walk(folder: Path, below: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{below}{entry.name}/")
            elif entry.is_file():
                yield below + entry.name


def _problem(members: list[zipfile.ZipInfo], packed: int) -> str:
    """What is wrong with an archive of `packed` bytes as a whole, or nothing."""
    if len(members) > MAX_FILES:
        return f"holds {len(members):,} files, more than {MAX_FILES:,}"
    seen: set[str] = set()
    for member in members:
        problem = "is there twice" if member.filename in seen else _member_problem(member)
        seen.add(member.filename)
        if problem:
            return f'"{printable(member.orig_filename)[:100]}" {problem}'
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL:
        return f"would unpack to {total >> 30:,} GiB, more than {MAX_TOTAL >> 30}"
    if total > max(MAX_RATIO * packed, FREE_RATIO):  # members that overlap declare more than the file can hold
        return f"would unpack to {total / packed:,.0f} times its size"
    return ""


def _member_problem(member: zipfile.ZipInfo) -> str:
    name = member.orig_filename
    kind = stat.S_IFMT(member.external_attr >> 16)
    if not name:
        return "is a member without a name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if "\\" in name or "\0" in name or ".." in PurePosixPath(name).parts:
        return "is a path out of the archive, or looks like one"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
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
