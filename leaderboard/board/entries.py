"""Runs as the board shows them: rows that may be compared, the pages' names, and what each editor is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.core.errors import UserError
from leaderboard.board.answers import Answers, read_answers
from leaderboard.judging.run_spec import slug
from leaderboard.records import outcomes
from leaderboard.records.record import Record
from leaderboard.records.runs import group_comparable, tell_apart

IMAGES = ["split", "sha256", "label", "group_id", "base"]  # what the runs of one table have in common


@dataclass(frozen=True)
class Entry:
    """One run on the board.

    record: its record.
    title: the editor with its settings as one would write it, and what tells it from others of that name.
    page: the name of its page and its data, without suffix.
    answers: of its edited models.
    reason: why it stays off the main table; empty for a run that stands there.
    """

    record: Record
    title: str
    page: str
    answers: Answers
    reason: str


@dataclass(frozen=True)
class Table:
    """Runs that may be compared, and the images on which they were judged (rows of `Outcomes.samples`)."""

    entries: list[Entry]
    samples: pd.DataFrame

    @property
    def record(self) -> Record:
        """The record of its first run; what all share is read from it."""
        return self.entries[0].record


def read_tables(runs: Sequence[tuple[Path, Record]]) -> list[Table]:
    """The tables of a site; the one with most runs that may stand on a main table comes first.

    Raises `UserError` for a run whose outcomes are not those of its record, or are of other images than its table's.
    """
    folders = {id(record): path.parent for path, record in runs}
    groups = group_comparable([record for _, record in runs])
    tables = [_read_table(records, [folders[id(record)] for record in records]) for records in groups]
    return sorted(tables, key=lambda table: -sum(not entry.reason for entry in table.entries))


def _read_table(records: Sequence[Record], folders: Sequence[Path]) -> Table:
    samples: pd.DataFrame | None = None
    entries: list[Entry] = []
    pages: set[str] = set()
    for record, folder, apart in zip(records, folders, tell_apart(records), strict=True):
        run = outcomes.read(folder, record.outcomes.sha256)
        samples = run.samples if samples is None else samples
        if not samples[IMAGES].equals(run.samples[IMAGES]):
            raise UserError(f"{folder}: was judged on other images than its record says; take it away")
        title = f"{record.editor.spec} ({apart})" if apart else record.editor.spec
        page = _page_name(record, pages)
        entries.append(Entry(record, title, page, read_answers(run), why_off(record)))
    assert samples is not None  # a table has a run
    return Table(entries, samples)


def why_off(record: Record) -> str:
    """The reason why a run stays off the main table, in words; empty if there is none."""
    protocol, environment = record.protocol, record.environment
    reasons = []
    if protocol.limit is not None:
        reasons.append(f"{record.outcomes.edits:,} of {record.data.editing_samples:,} editing samples were drawn")
    if protocol.edited_groups is not None:
        reasons.append("some groups were chosen")
    if environment.dirty:
        reasons.append("the checkout had changes that no commit holds")
    if protocol.in_process:
        reasons.append("the editor worked in the judge's process")
    return "; ".join(reasons)


def _page_name(record: Record, pages: set[str]) -> str:
    """The name of a run's page, in letters that stand in an address as they are."""
    name = re.sub(r"[^a-z0-9.]+", "-", slug(record.editor.spec).lower()).strip("-.") or "editor"
    name = f"{name}-{record.key[:8]}"
    while name in pages:
        name += "-2"
    pages.add(name)
    return name


def describe_editor(record: Record) -> str:
    """The own description of a built-in editor, its first paragraph; empty for any other."""
    from editors.core.registry import built_in

    editor_class = built_in(listed_only=False).get(record.editor.name)
    text = (editor_class.__doc__ or "").strip().split("\n\n")[0] if editor_class else ""
    return " ".join(text.replace("`", "").split())
