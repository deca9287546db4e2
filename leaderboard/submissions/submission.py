"""A submission as it is read: its card, and its runs, each bound to its files by hashes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.code import PACKAGES, hash_sources
from benchmark.core.errors import UserError, message_line
from benchmark.core.files import walk
from benchmark.core.readers import check_file, read_json
from benchmark.core.text import printable
from leaderboard.judging.run_spec import FACTS, RUN, digest
from leaderboard.records import outcomes
from leaderboard.records.record import PROTOCOL, SCORING, Record, read
from leaderboard.records.runs import check_comparable
from leaderboard.submissions.card import Card, check_name, read_card
from leaderboard.submissions.layout import FIX, RECORD, SOURCE, check_layout

SECTIONS = ("editor", "base", "data", "protocol")  # of a record that stand in its run's note, too
MAX_SOURCE = 1 << 20  # bytes of one file
RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class SubmittedRun:
    """A run of a submission, as its files say.

    folder: the folder that holds them.
    code: hashes of what edited and judged, by module, which its key binds.
    """

    folder: Path
    record: Record
    code: dict[str, str]
    outcomes: outcomes.Outcomes


@dataclass(frozen=True)
class Submission:
    """A submission whose files belong together.

    size: bytes.
    editor_file: the editor's file; None for an editor of this project, or of an installed package.
    """

    folder: Path
    card: Card
    runs: list[SubmittedRun]
    size: int
    editor_file: Path | None


def read_submission(folder: Path) -> Submission:
    """Read a submission. Raises `UserError`, one line, for the first of its files that is not as it must be."""
    size = check_layout(folder)
    card = read_card(folder)
    places = sorted(Path(entry.path).parent for entry in walk(folder) if entry.name == RECORD)
    if not places:
        raise UserError(f"{folder}: no {RECORD} there; {FIX}")
    runs = [_read_run(place) for place in places]
    _check_once(runs)
    check_comparable([run.record for run in runs])
    if len({run.record.editor.name for run in runs}) > 1:
        raise UserError(f"{folder}: runs of several editors; a submission is of one")
    sources = _sources(folder)
    editor_file = _editor_file(folder, runs[0].record, sources)
    for run in runs:
        _check_source(folder, run, [editor_file] if editor_file else sources)
    return Submission(folder, card, runs, size, editor_file)


def _read_run(place: Path) -> SubmittedRun:
    record = read(place / RECORD)
    for version, known, noun in (
        (record.protocol.version, PROTOCOL, "protocol"),
        (record.protocol.scoring, SCORING, "scoring"),
    ):
        if version != known:
            raise UserError(
                f"{place / RECORD}: {noun} {version:.20} is not this release's, which is {known}; verify it with the "
                "release that made it, or score that run again"
            )
    try:
        check_name(record.editor.spec)
    except ValueError as error:
        raise UserError(f"{place / RECORD}: the editor's name {printable(record.editor.spec)[:100]} {error}") from error
    noted = read_json(place / RUN.note, fix=FIX).get(FACTS)
    if not isinstance(noted, dict) or not isinstance(code := noted.get("code"), dict):
        raise UserError(f"{place / RUN.note}: does not say what was run; {FIX}")
    _check_note(place, record, noted)
    return SubmittedRun(place, record, code, outcomes.read(place, record.outcomes.sha256))


def _check_note(place: Path, record: Record, noted: dict[str, Any]) -> None:
    """Raise `UserError` unless the run's note makes the record's key, and says of its sections what the record does."""
    if digest(noted) != record.key:
        raise UserError(f"{place / RUN.note}: is not of the run in {RECORD}: they make different keys; {FIX}")
    recorded = json.loads(record.model_dump_json())
    learned = noted.get("learned", {})
    for section in SECTIONS:
        expected = {**noted.get(section, {}), **(learned if section == "editor" else {})}
        for name, value in expected.items():
            if recorded[section].get(name) != value:
                raise UserError(f"{place / RECORD}: {section}.{name} is not what the run's key was made of; {FIX}")
    versions = record.environment.versions
    for library, release in noted.get("libraries", {}).items():
        if versions.get(library) != release:
            raise UserError(f"{place / RECORD}: {library} is not the release that the run's key was made of; {FIX}")


def _check_once(runs: list[SubmittedRun]) -> None:
    """Raise `UserError` for two records of one run, in the submission or beside it among the results."""
    places: dict[str, Path] = {}
    ours = {run.folder.resolve() for run in runs}
    for entry in walk(RESULTS) if RESULTS.is_dir() else ():
        if entry.name == RECORD and (place := Path(entry.path).parent).resolve() not in ours:
            places[read(place / RECORD).key] = place
    for run in runs:
        if (first := places.setdefault(run.record.key, run.folder)) != run.folder:
            raise UserError(f"{run.folder} and {first} are two records of one run; leave one out")


def _sources(folder: Path) -> list[Path]:
    sources = sorted(Path(entry.path) for entry in walk(folder / SOURCE))
    for file in sources:
        check_file(file, MAX_SOURCE, "a file of source is text that people read; shorten it")
    return sources


def _editor_file(folder: Path, record: Record, sources: list[Path]) -> Path | None:
    """The editor's file among the submitted sources, by the end of the path that its name is; no other is opened."""
    path, colon, _ = record.editor.name.rpartition(":")
    if not colon:
        if sources and record.editor.package is None:
            raise UserError(f"{folder}: {record.editor.name} is an editor of this project, and needs no {SOURCE}")
        return None
    parts = Path(path).parts
    below = [(len(file.relative_to(folder / SOURCE).parts), file) for file in sources]
    matches = [(count, file) for count, file in below if file.relative_to(folder / SOURCE).parts == parts[-count:]]
    if not matches:
        raise UserError(f"{folder}: no {printable(Path(path).name)} in {SOURCE}, which the editor is written in; {FIX}")
    return max(matches)[1]


def _check_source(folder: Path, run: SubmittedRun, sources: list[Path]) -> None:
    """Raise `UserError` unless the submitted sources are those that the run's key was made of."""
    try:
        actual = hash_sources(sources) if sources else {}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{folder}: a file in {SOURCE} is no Python ({message_line(error)}); {FIX}") from error
    expected, local = (
        {name: value for name, value in hashes.items() if name.partition(".")[0] not in PACKAGES}
        for hashes in (run.code, actual)
    )
    for name in [*expected, *local]:
        if expected.get(name) != local.get(name):
            why = "is not submitted" if name not in local else "is not the source that was run"
            raise UserError(f"{folder}: {printable(name)} {why}; {FIX}")
