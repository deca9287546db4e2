"""Removal from a crawl: photos on a takedown list, and pictures of folders that the user names.

Both are remembered in the index, so that they hold on every later run, named again or not. A photo that had been
kept before loses its image; its row stays, so that it never comes back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from benchmark.core import files
from benchmark.core.errors import UserError
from benchmark.core.files import like, walk
from benchmark.core.readers import read_text
from benchmark.core.text import name_key, printable
from benchmark.images.decode import SUFFIXES, BrokenImage, decoding
from benchmark.images.files import read_image
from mad.crawling.duplicates import compute_phash, compute_sha256
from mad.crawling.index import EXCLUDED, FROM_EXCLUDED, KEPT, TAKEN_DOWN, Index

CHUNK = 256  # files of a folder that are recorded at once

_ENTRIES = (
    r"https?://(?:www\.|m\.)?flickr\.com/photos/[^/\s]+/(\d+)(?:[/?#]\S*)?",  # a photo's page
    r"https?://\S+/(\d+)_[0-9a-f]+(?:_\w+)?\.jpg",  # an image's own address
    r"https?://(?:www\.|m\.)?flickr\.com/(?:photos|people)/([^/\s]+)/?",  # an owner's page
    r"([0-9a-f]{64})",  # SHA-256 of an image
    r"(\d+)",  # a photo id
    r"(\d+@N\d+)",  # an owner's id
    r"([\w-]+)",  # an owner's path alias
)


def read_takedown(file: Path) -> list[str]:
    """The entries of a takedown list, one a line; empty lines and those that begin with # say nothing.

    An entry is a photo id, the address of a photo's or an owner's page, an owner's id (NSID) or path alias, or the
    SHA-256 of an image. They come back as `name_key`, addresses as the id or alias in them.

    Raises:
        UserError: if the file cannot be read, or a line is none of these.
    """
    lines = read_text(file, fix="name another --takedown").splitlines()
    entries = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line and not line.startswith("#"):
            match = next((m for pattern in _ENTRIES if (m := re.fullmatch(pattern, line, re.IGNORECASE))), None)
            if match is None:
                raise UserError(
                    f"{file}, line {number}: neither a photo id, a page, a SHA-256 nor an owner; mend that line"
                )
            entries.append(name_key(match[1]))
    return entries


def take_down(index: Index, entries: Iterable[str]) -> int:
    """Add to the takedown list, remove the photos that it names, and return the number of removed images.

    Exact copies of a named photo go as well. Title and owner's name are erased from the rows that stay.
    """
    new = set(entries)
    index.taken_down |= new
    listed = "SELECT entry FROM takedown"
    named = f"photo_id IN ({listed}) OR name_key(owner) IN ({listed}) OR name_key(path_alias) IN ({listed})"
    named += f" OR sha256 IN ({listed})"
    with index.db:
        index.db.executemany("INSERT OR IGNORE INTO takedown VALUES (?)", [(entry,) for entry in new])
        rows = index.db.execute(
            "SELECT photo_id, sha256, state FROM photo WHERE state <> ? "
            f"AND (({named}) OR sha256 IN (SELECT sha256 FROM photo WHERE {named}))",
            (TAKEN_DOWN,),
        ).fetchall()
        index.db.executemany(
            "UPDATE photo SET state = ?, title = '', owner_name = '' WHERE photo_id = ?",
            [(TAKEN_DOWN, photo_id) for photo_id, _, _ in rows],
        )
    return _unlink(index, [sha for _, sha, state in rows if state == KEPT])


def check_excluded(folder: Path, crawl: Path) -> None:
    """Refuse a folder that `exclude_folder` cannot take for the crawl in `crawl`, before any work is done.

    Raises:
        UserError: if there is no such folder, or one lies in the other: a crawl would remove its own images.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder{like(folder)}; --exclude takes a folder of images")
    root, own = folder.resolve(), crawl.resolve()
    if root in (own, *own.parents) or own in root.parents:
        raise UserError(f"{folder} and the crawl {crawl} lie in each other; --exclude takes another folder")


def exclude_folder(index: Index, folder: Path) -> int:
    """Keep the pictures in `folder` and below out of the crawl; return the number of images removed for it.

    Files read before are not read again unless their size or time changed. A file that does not decode is known by
    its bytes alone.
    """
    root = folder.resolve()
    rows = index.db.execute("SELECT path, size, modified FROM excluded_file")
    known = {path: (size, modified) for path, size, modified in rows}
    new = []
    for path in _find_images(root):
        stat = path.stat()
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        if known.get(name) != (stat.st_size, stat.st_mtime_ns):
            new.append((path, name, stat.st_size, stat.st_mtime_ns))
    removed = 0
    with (
        ThreadPoolExecutor(os.cpu_count()) as readers,
        tqdm(total=len(new), unit="file", desc=printable(f"exclude {folder.name}"), leave=False) as bar,
    ):
        for start in range(0, len(new), CHUNK):
            chunk = new[start : start + CHUNK]
            fingerprints = list(readers.map(_fingerprint, [path for path, *_ in chunk]))
            removed += _exclude(index, fingerprints, [tuple(columns) for _, *columns in chunk])
            bar.update(len(chunk))
    return removed


def _find_images(root: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in walk(root) if Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file())


def _fingerprint(path: Path) -> tuple[str, str | None]:
    try:
        data = read_image(path)
    except BrokenImage:
        return files.sha256(path), None
    try:
        with decoding(data) as image:
            return compute_sha256(data), compute_phash(image)
    except BrokenImage:
        return compute_sha256(data), None


def _exclude(index: Index, fingerprints: list[tuple[str, str | None]], rows: list[tuple]) -> int:
    """Record fingerprints of excluded files, and remove the kept images that are like them."""
    removed = []
    with index.db:
        for sha256, phash in fingerprints:
            alike = {other for _, other in index.find_near(phash)} if phash else set()
            for other in sorted(alike | {sha256}):
                hit = index.db.execute(
                    "UPDATE photo SET state = ? WHERE state = ? AND sha256 = ?", (EXCLUDED, KEPT, other)
                )
                removed += [other] * hit.rowcount
            index.add_picture(FROM_EXCLUDED, sha256, phash)
        index.db.executemany("INSERT OR REPLACE INTO excluded_file VALUES (?, ?, ?)", rows)
    return _unlink(index, removed)


def _unlink(index: Index, images: list[str]) -> int:
    for sha256 in images:
        index.image_path(sha256).unlink(missing_ok=True)
    return len(images)
