"""The files of a submission: no links, no archives, none that its list lacks, and no more than `LIMIT` bytes.

submission.yaml                   the card (`card.py`), which its submitter writes
record.json run.json outcomes.parquet samples.parquet    a run; of several, each has them in a folder of its own
source/                           the editor's file and each local one that it imports
files/                            files that its settings name, such as weights
SHA256SUMS                        hashes of all of these but the card
verification.json                 beside a record, by whoever verified it
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmark.core.checksums import SUMS, read_checksums
from benchmark.core.errors import UserError
from benchmark.core.files import sha256, walk
from benchmark.core.text import printable
from leaderboard.submissions.card import CARD

RECORD = "record.json"
VERIFICATION = "verification.json"
SOURCE = "source"
FILES = "files"
LIMIT = 16 << 20  # bytes of all files
MOST = 500  # files
ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"Rar!")
SUFFIXES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".zst", ".rar", ".whl", ".egg", ".pt", ".pth", ".npz"}
TAR = 257, b"ustar"  # the place of a tar's name of itself
FIX = "make the submission again with python -m leaderboard.submit EDITOR --as FOLDER"


def check_layout(folder: Path) -> int:
    """The bytes of a submission whose files are all listed, each with its hash.

    Raises `UserError` for links, archives and other things that are no plain files, for too many or too large ones, and
    for a file that `SHA256SUMS` lacks, or that is not as it was.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder}: a submission is a folder; {FIX}")
    sizes = _sizes(folder)
    sums = read_checksums(folder)
    if SUMS not in sizes or not sums:
        raise UserError(f"{folder}: no {SUMS} there, so it is no submission; {FIX}")
    for name in sizes.keys() - sums.keys():
        if name not in (SUMS, CARD) and Path(name).name != VERIFICATION:
            raise UserError(f"{folder}: {printable(name)} is not listed in {SUMS}; take it out")
    for name, digest in sums.items():
        if name not in sizes:
            raise UserError(f"{folder}: {printable(name)} is listed in {SUMS}, and missing; {FIX}")
        if sha256(folder / name) != digest:
            raise UserError(f"{folder}: {printable(name)} is not as it was when {SUMS} was written; {FIX}")
    return sum(sizes.values())


def _sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for entry in walk(folder):
        path = Path(entry.path)
        name = path.relative_to(folder).as_posix()
        if entry.is_symlink():
            raise UserError(f"{folder}: {printable(name)} is a link, and a submission has none; put the file there")
        if not entry.is_file(follow_symlinks=False):
            raise UserError(f"{folder}: {printable(name)} is a pipe, socket or device; take it out")
        sizes[name] = entry.stat(follow_symlinks=False).st_size
        if len(sizes) > MOST:
            raise UserError(f"{folder}: more than {MOST} files; a submission has a record and the source of an editor")
        if (total := sum(sizes.values())) > LIMIT:
            raise UserError(
                f"{folder}: {printable(name)} makes it {total >> 20:,} MiB large, and a submission has at most "
                f"{LIMIT >> 20} MiB; name the address of large files in {CARD} (weights)"
            )
        if is_archive(path):
            raise UserError(
                f"{folder}: {printable(name)} is an archive, and a submission has none; put its files there, and "
                "weights as .safetensors"
            )
    return sizes


def is_archive(path: Path) -> bool:
    """Return whether a file is an archive, by its suffix or its first bytes."""
    place, mark = TAR
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        head = os.read(handle, place + len(mark))
    finally:
        os.close(handle)
    return path.suffix.lower() in SUFFIXES or head.startswith(ARCHIVES) or head[place:] == mark
