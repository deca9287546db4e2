"""A folder of sources: each in a folder of its name, or a local copy where it lies, with the lock file beside them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark.core.errors import UserError, listed, unknown
from benchmark.core.files import sha256
from benchmark.core.workdir import holds, working
from benchmark.fetching.lock import KIND, NOTE, Entry, Lock, today
from benchmark.fetching.source import Source, sources

log = logging.getLogger(__name__)


def choose_sources(names: Sequence[str]) -> list[Source]:
    """The sources of these names, each once; without names all but those by name only. Raises `UserError`."""
    known = sources()
    for name in names:
        if name not in known:
            raise unknown("source", name, known)
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    return [source for source in known.values() if not source.by_name_only]


def states(out: Path) -> dict[str, str]:
    """Of each source by name whether it lies in `out`, in a word. Raises `UserError` for a folder of something else."""
    holds(out, KIND, NOTE)
    lock = Lock(out)
    return {name: lock.entry(name).state(out / name) for name in sources()}


def path_of(out: Path, name: str) -> Path:
    """The folder of a source, or its local copy, which may be a file. Raises `UserError` where it was not fetched."""
    entry = Lock(out).entry(name)
    path = Path(entry.note["local"]) if "local" in entry.note else out / name
    if not path.exists() or not ("local" in entry.note or entry.is_complete):
        raise UserError(f"{out}: {name} is not there; fetch it: python -m benchmark.fetch {name} --out {out}")
    return path


def value_of(out: Path, name: str) -> str:
    """The value that a source's command takes, such as ``vitb16=out/vitb16/model.safetensors``; see `path_of`."""
    return sources()[name].value_in(path_of(out, name))


def fetch_sources(
    out: Path,
    chosen: Sequence[Source],
    agree: Callable[[Sequence[Source]], bool],
    from_folder: Path | None = None,
) -> None:
    """Bring sources into `out`, each whole or for the next call to go on with.

    Args:
        out: made if it is not there.
        chosen: what to bring.
        agree: asked once, for the sources that are fetched and whose terms were not agreed to before.
        from_folder: folder of local copies, which are noted and used where they lie; then nothing is fetched.

    Raises:
        UserError: if the terms are not agreed to; and, when all others are there, for the first that cannot be had.
    """
    with working(out, KIND, NOTE):
        lock = Lock(out)
        if from_folder is not None:
            _note_copies(lock, chosen, from_folder)
            return
        missing = [source for source in chosen if not _is_there(lock.entry(source.name), out / source.name)]
        new = [source for source in missing if lock.entry(source.name).note.get("agreed") != source.terms]
        if new and not agree(new):
            raise UserError("nothing was fetched; answer y, or add --yes")
        for source in new:
            lock.entry(source.name).note["agreed"] = source.terms
        lock.save()
        failures: dict[str, UserError] = {}
        for source in missing:
            entry = lock.entry(source.name)
            log.info("%s: from %s", source.name, source.origin.address)
            try:
                source.origin.fetch(out / source.name, entry)
            except UserError as error:
                failures[source.name] = error
                if source is not missing[-1]:
                    log.warning("%s cannot be had, and the others follow: %s", source.name, error)
                continue
            entry.save(complete=True, fetched=today(), origin=source.origin.address)
    if failures:
        name, first = next(iter(failures.items()))
        others = [other for other in failures if other != name]
        also = f" (nor can {listed(others, 'and')} be had)" if others else ""
        raise UserError(f"{name}: {first}{also}")


def _note_copies(lock: Lock, chosen: Sequence[Source], folder: Path) -> None:
    """Note the local copy of each source. Raises `UserError` for the first that has none; nothing is noted then."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one that holds the sources, each under its name")
    copies = {}
    for source in chosen:
        copy = source.origin.find_local(folder, source.name)
        if copy is None:
            raise UserError(
                f"{folder}: holds no {source.name}; put it there as {folder / source.name}, or name the sources that "
                "are there"
            )
        copies[source.name] = copy.resolve()
    for name, copy in copies.items():
        entry = lock.entry(name)
        entry.note["local"] = str(copy)
        if copy.is_file() and copy.name in entry.files:
            entry.check_hash(copy.name, sha256(copy), copy)
    lock.save()


def _is_there(entry: Entry, folder: Path) -> bool:
    local = entry.note.get("local")
    if local and not Path(local).exists():
        raise UserError(f"{local}: the local copy of {entry.name} is gone; name it again with --from-folder")
    return bool(local) or entry.is_there(folder)
