"""Finished runs: those below some folders, each once, and which of them may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.files import walk
from benchmark.models.identity import probes_agree
from leaderboard.records.record import Comparable, Record, read


def find_runs(folders: Sequence[Path]) -> list[tuple[Path, Record]]:
    """All runs in or below these folders, in path order.

    A record with the key, the outcomes and the conditions (`Record.comparable_key`) of another is a copy, such as a
    backup, and no second run: of copies the one least deep is taken. Raises `UserError` if there is no record.
    """
    paths = {Path(entry.path) for folder in folders for entry in walk(folder) if entry.name == "record.json"}
    if not paths:
        where = ", ".join(map(str, folders))
        raise UserError(f"no record.json below {where}; python -m leaderboard.submit makes one")
    runs: dict[tuple[str, str, Comparable], tuple[Path, Record]] = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        record = read(path)
        runs.setdefault((record.key, record.outcomes.sha256, record.comparable_key()), (path, record))
    return sorted(runs.values(), key=lambda run: run[0])


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
    if record.base.probe is not None and not probes_agree(probe, record.base.probe, record.protocol.precision):
        raise UserError(
            f"{record.base.name} is the same base in {where} and in the run of {record.editor.spec}, but answers a "
            "fixed image otherwise; one of the two machines computes wrongly: make that run again"
        )
