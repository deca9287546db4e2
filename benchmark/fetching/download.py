"""A file at an address as the origin of a source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.files import cannot_write
from benchmark.core.readers import check_file
from benchmark.fetching.lock import Entry
from benchmark.fetching.pages import check_format
from benchmark.fetching.transfer import check_room, transfer

Repack = Callable[[Path, Path], None]  # from an archive to the file that is kept of it


@dataclass(frozen=True)
class Download:
    """One file over HTTP.

    address: of the file itself.
    file: its name here; the last suffix says its format (`benchmark.fetching.pages`).
    kept: the file that `repack` makes of it, after which it is removed; the same file without `repack`.
    """

    address: str
    file: str
    repack: Repack | None = None
    kept: str = ""

    def fetch(self, folder: Path, entry: Entry) -> None:
        """See `Origin.fetch`."""
        archive = folder / self.file
        if self.repack is None:
            transfer(self.address, archive, entry)
            return
        kept = folder / self.kept
        if not (self.kept in entry.files and kept.is_file() and "archive" in entry.note):
            if not (archive.is_file() and self.file in entry.files):
                transfer(self.address, archive, entry)
            check_room(folder, check_file(archive) // 4, entry.name)
            self.repack(archive, kept)
            entry.add_file(self.kept, kept)
            entry.save(archive=entry.files.pop(self.file))
        with cannot_write(archive):
            archive.unlink(missing_ok=True)

    def find_local(self, folder: Path, name: str) -> Path | None:
        """See `Origin.find_local`: the file that is kept, or a folder with what is in it."""
        file = self.kept or self.file
        for path in (folder / file, folder / name / file):
            if path.is_file():
                check_format(path, file)
                return path
        unpacked = (folder / name, folder / Path(file).stem)
        return next((path for path in unpacked if path.is_dir() and any(path.iterdir())), None)
