"""A repository on the Hub as the origin of a source: fetched by the Hub's own client, at one commit."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.checksums import names_below
from benchmark.core.errors import UserError
from benchmark.core.files import cannot_write, sha256
from benchmark.core.hub import from_hub
from benchmark.fetching.lock import FIRST, Entry
from benchmark.fetching.transfer import check_room

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

HUB = "https://huggingface.co"
LOCAL = "give a local copy with --from-folder"


@dataclass(frozen=True)
class Repository:
    """Files of one repository.

    name: OWNER/NAME.
    patterns: of the files' paths, where ``*`` matches ``/``, too; of each at least one file must match.
    left_out: patterns of files that are not fetched all the same.
    is_model: whether it is a model's repository; else a data set's.
    otherwise: another way to the files, in words, beside the usual ones.
    """

    name: str
    patterns: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    is_model: bool = False
    otherwise: str = ""

    @property
    def address(self) -> str:
        """See `Origin.address`."""
        return f"{HUB}/{self.name}" if self.is_model else f"{HUB}/datasets/{self.name}"

    @property
    def repo_type(self) -> str:
        """The kind of repository, as the Hub's client has it."""
        return "model" if self.is_model else "dataset"

    def fetch(self, folder: Path, entry: Entry) -> None:
        """See `Origin.fetch`."""
        from huggingface_hub import snapshot_download

        advised = f"{advice(self.address)}, or {self.otherwise}" if self.otherwise else advice(self.address)
        with from_hub(self.address, advised), cannot_write(folder):
            files = self.list_files(entry)
            folder.mkdir(parents=True, exist_ok=True)
            missing = [file for file in files if not _has_size(folder / file.path, file.size)]
            check_room(folder, sum(file.size for file in missing), entry.name)
            snapshot_download(
                self.name,
                repo_type=self.repo_type,
                revision=entry.note["revision"],
                local_dir=folder,
                allow_patterns=[file.path for file in files],
                max_workers=4,
            )
        for file in files:
            self._check(folder / file.path, file)
            published = file.lfs.sha256 if file.lfs else None
            entry.add_file(file.path, folder / file.path, "the Hub's SHA-256" if published else FIRST, published)

    def list_files(self, entry: Entry) -> list[RepoFile]:
        """The files at the commit that `entry` has noted, or at the newest one, which is noted then."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        api = HfApi()
        commit = api.repo_info(self.name, repo_type=self.repo_type, revision=entry.note.get("revision")).sha
        tree = api.list_repo_tree(self.name, recursive=True, revision=commit, repo_type=self.repo_type)
        listed = [file for file in tree if isinstance(file, RepoFile)]
        files = [file for file in listed if self._is_wanted(file.path)]
        for pattern in self.patterns:
            if not any(fnmatch(file.path, pattern) for file in files):
                raise UserError(f"{self.address}: has no file {pattern} at commit {str(commit)[:8]}; {LOCAL}")
        entry.save(revision=commit)
        return files

    def find_local(self, folder: Path, name: str) -> Path | None:
        """See `Origin.find_local`: a folder of this name, or of the repository's."""
        candidates = (folder / name, folder / self.name.partition("/")[2])
        copy = next((path for path in candidates if path.is_dir() and any(path.iterdir())), None)
        if copy is not None and self.is_model:  # images may lie there in other ways
            names = names_below(copy)
            for pattern in self.patterns:
                if not any(fnmatch(name, pattern) for name in names):
                    raise UserError(f"{copy}: holds no file {pattern}, as {self.address} does; put it there")
        return copy

    def _is_wanted(self, path: str) -> bool:
        return any(fnmatch(path, pattern) for pattern in self.patterns) and not any(
            fnmatch(path, pattern) for pattern in self.left_out
        )

    def _check(self, path: Path, file: RepoFile) -> None:
        """Raise `UserError` for a file of another size or hash than the Hub states; it is removed."""
        if _has_size(path, file.size) and (file.lfs is None or sha256(path) == file.lfs.sha256):
            return
        path.unlink(missing_ok=True)
        raise UserError(f"{self.address}: {file.path} came with another size or SHA-256 than the Hub states; repeat it")


def advice(address: str) -> str:
    """Words on the way out where the Hub does not give a thing."""
    return f"open {address}, or {LOCAL}"


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
