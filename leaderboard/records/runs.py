"""Finished runs: those below some folders, each once, and which of them may be compared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError, unknown
from benchmark.core.files import walk
from benchmark.models.identity import probes_agree
from leaderboard.records.record import Comparable, Record, read

log = logging.getLogger(__name__)
RUNS = Path("out/leaderboard")  # the default place of commands that make runs, and of those that read them


def find_newest(folders: Sequence[Path]) -> list[tuple[Path, Record]]:
    """`find_runs`, but only the newest of those that would be one row of a table; a note counts the others."""
    return _newest(find_runs(folders))


def _newest(runs: Sequence[tuple[Path, Record]]) -> list[tuple[Path, Record]]:
    newest: dict[Any, tuple[Path, Record]] = {}
    for path, record in sorted(runs, key=_created):
        newest[record.comparable_key(), record.editor.spec, record.protocol.in_process] = path, record
    if older := len(runs) - len(newest):
        log.warning(
            "%d older %s left out; python -m leaderboard.tables --all shows every one",
            older,
            "run of a setting that is shown is" if older == 1 else "runs of settings that are shown are",
        )
    return [run for run in runs if run in newest.values()]


def find_runs(folders: Sequence[Path]) -> list[tuple[Path, Record]]:
    """All runs in or below these folders, in path order; without a folder, those in the default place.

    A record with the key, the outcomes and the conditions (`Record.comparable_key`) of another is a copy, such as a
    backup, and no second run: of copies the one least deep is taken. Raises `UserError` if there is no record.
    """
    runs: dict[tuple[str, str, Comparable], tuple[Path, Record]] = {}
    for path, record in _read_all(folders):
        runs.setdefault((record.key, record.outcomes.sha256, record.comparable_key()), (path, record))
    return sorted(runs.values(), key=lambda run: run[0])


def _read_all(folders: Sequence[Path]) -> list[tuple[Path, Record]]:
    """All records in or below these folders, copies included, the least deep first."""
    folders = folders or (RUNS,)
    paths = {Path(entry.path) for folder in folders for entry in walk(folder) if entry.name == "record.json"}
    if not paths:
        where = ", ".join(map(str, folders))
        raise UserError(f"no record.json below {where}; python -m leaderboard.submit makes one")
    return [(path, read(path)) for path in sorted(paths, key=lambda path: (len(path.parts), path))]


def find_named(names: Sequence[str]) -> list[list[tuple[Path, Record]]]:
    """The runs that each name means: the newest ones of a folder, or one of an editor in the default place.

    Without a name, those in the default place. Of an editor's runs the newest is taken, if there is one that is
    comparable with the others. Raises `UserError` for a name without a run, and for two records of one run.
    """
    matches = [_named(name) for name in names] or [(False, _read_all([]))]
    newest = [{run[1].comparable_key(): run for run in sorted(runs, key=_created)} for _, runs in matches]
    common = set.intersection(*map(set, newest))
    shared = max(common, key=lambda key: min(_created(of_key[key]) for of_key in newest), default=None)
    runs_of_names = [
        [of_key[shared] if shared else max(runs, key=_created)] if is_choice else runs
        for (is_choice, runs), of_key in zip(matches, newest, strict=True)
    ]
    _check_keys(run for runs in runs_of_names for run in runs)
    return [sorted(_newest(runs), key=lambda run: run[0]) for runs in runs_of_names]


def _named(name: str) -> tuple[bool, list[tuple[Path, Record]]]:
    """The runs of a name, and whether they are an editor's, of which one is meant."""
    if Path(name).is_dir():
        return False, _read_all([Path(name)])
    runs = find_runs([])
    if not (of_editor := [run for run in runs if run[1].editor.spec == name]):
        raise unknown("run or editor with one", name, {record.editor.spec for _, record in runs})
    return True, of_editor


def _created(run: tuple[Path, Record]) -> str:
    return run[1].created


def _check_keys(runs: Iterable[tuple[Path, Record]]) -> None:
    """Raise `UserError` if two records in different places are of one run, be it a copy or one that was changed."""
    paths: dict[str, Path] = {}
    for path, record in runs:
        other = paths.setdefault(record.key, path)
        if other.resolve() != path.resolve():
            raise UserError(f"{other.parent} and {path.parent} are two records of one run; take one of them away")


def group_comparable(records: Iterable[Record]) -> list[list[Record]]:
    """Records that may stand in one table, together, in order of the first of each.

    Raises `UserError` if the same base answered the probe image otherwise in one of them.
    """
    groups: dict[Comparable, list[Record]] = {}
    for record in records:
        groups.setdefault(record.comparable_key(), []).append(record)
    for group in groups.values():
        _check_probes(group)
    return list(groups.values())


def check_comparable(records: Sequence[Record], repeated: bool = False) -> None:
    """Raise `UserError` unless all records may stand in one plot or analysis; if `repeated`, their seeds may differ."""
    first = records[0].comparable_key()
    for record in records:
        for name, expected, value in zip(Comparable._fields, first, record.comparable_key(), strict=True):
            if value != expected and not (repeated and name == "seed"):
                raise UserError(
                    f"these records are not comparable: {name} is {expected} in one and {value} in another "
                    f"({record.editor.spec}); give folders of one kind"
                )
    _check_probes(records)


def _check_probes(records: Sequence[Record]) -> None:
    probed = [record for record in records if record.base.probe is not None]
    for record in probed[1:]:
        check_probe(record.base.probe or {}, probed[0], f"the run of {record.editor.spec}")


def check_probe(probe: Mapping[int, float], record: Record, where: str) -> None:
    """Raise `UserError` if the base of `record` answered its probe image otherwise than `probe`, taken in `where`."""
    if record.base.probe is not None and not probes_agree(probe, record.base.probe, record.protocol.number_format):
        raise UserError(
            f"{record.base.name} is the same base in {where} and in the run of {record.editor.spec}, but answers a "
            "fixed image otherwise; one of the two machines computes wrongly: make that run again"
        )


def tell_apart(records: Sequence[Record]) -> list[str]:
    """For each record, words that tell it from those of the same editor and settings as written; empty for the others.

    They are the beginning of its key, which ends its folder's name, the time, and the settings and parts that differ.
    """
    alike: dict[Any, list[Record]] = {}
    for record in records:
        alike.setdefault((record.editor.spec, record.protocol.in_process), []).append(record)
    texts = []
    for record in records:
        others = alike[record.editor.spec, record.protocol.in_process]
        texts.append(_differences(record, others) if len(others) > 1 else "")
    return texts


def _differences(record: Record, others: Sequence[Record]) -> str:
    def differs(take: Callable[[Record], Any]) -> bool:
        return any(take(other) != take(record) for other in others)

    editor = record.editor
    words = [record.key[:8], record.created[:16].replace("T", " ")]
    for name, value in editor.config.items():
        if any(other.editor.config.get(name) != value for other in others):
            words.append(f"{name}={value}")
    if editor.package and differs(lambda other: other.editor.package and other.editor.package.version):
        words.append(f"{editor.package.name} {editor.package.version}")
    if differs(lambda other: other.editor.source_sha256):
        words.append(f"code {editor.source_sha256[:8]}")
    if differs(lambda other: other.editor.files):
        words.append("other files")
    if differs(lambda other: other.editor.state_sha256):
        words.append(f"learned {(editor.state_sha256 or 'nothing')[:8]}")
    return ", ".join(words)
