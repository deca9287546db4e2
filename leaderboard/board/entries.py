"""Runs as the board shows them: rows that may be compared, the pages' names, and what each editor is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.core.errors import UserError
from leaderboard.board.answers import Answers, read_answers
from leaderboard.judging.run_spec import slug
from leaderboard.records import outcomes
from leaderboard.records.main_table import off_main_table
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.record import Record
from leaderboard.records.runs import group_comparable
from leaderboard.scores.paired import resample_together
from leaderboard.scores.ranking import Ranked, rank
from leaderboard.scores.tables import names
from leaderboard.submissions.card import CARD, Card, read_card
from leaderboard.submissions.verification import level_of

IMAGES = ["split", "sha256", "label", "group_id", "base"]  # what the runs of one table have in common


@dataclass(frozen=True)
class Entry:
    """One run on the board.

    record: its record.
    title: the editor as tables name it (`leaderboard.scores.tables.names`).
    page: the name of its page and its data, without suffix.
    answers: of its edited models.
    reason: why it stays off the main table; empty for a run that stands there.
    level: of its verification, in words.
    card: of its submission; None for a run that was not submitted.
    """

    record: Record
    title: str
    page: str
    answers: Answers
    reason: str
    level: str
    card: Card | None


@dataclass(frozen=True)
class Table:
    """Runs that may be compared.

    entries: all of them.
    samples: the images on which they were judged, as rows of `Outcomes.samples`.
    ranking: the editors of those that may stand on the main table; of all, where none may.
    """

    entries: list[Entry]
    samples: pd.DataFrame
    ranking: list[Ranked]

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
    tables: list[pd.DataFrame] = []
    entries: list[Entry] = []

    def read_runs() -> Iterator[Outcomes]:
        for record, folder, title in zip(records, folders, names(records), strict=True):
            run = outcomes.read(folder, record.outcomes.sha256)
            tables.append(run.samples)
            if not tables[0][IMAGES].equals(run.samples[IMAGES]):
                raise UserError(f"{folder}: was judged on other images than its record says; take it away")
            page = _page_name(record, {entry.page for entry in entries})
            reason, level = off_main_table(record), level_of(folder, record)
            entries.append(Entry(record, title, page, read_answers(run), reason, level, find_card(folder)))
            yield run

    resampled = resample_together(read_runs())
    ranked = [number for number, entry in enumerate(entries) if not entry.reason] or range(len(entries))
    ranking = rank([records[number] for number in ranked], [resampled[number] for number in ranked])
    return Table(entries, tables[0], ranking)


def find_card(folder: Path) -> Card | None:
    """The card of the submission that a run's folder is, or lies in; None if there is none.

    Raises `Unreadable` for a card that is none.
    """
    return next((read_card(place) for place in (folder, folder.parent) if (place / CARD).is_file()), None)


def _page_name(record: Record, pages: set[str]) -> str:
    """The name of a run's page, in letters that stand in an address as they are."""
    name = re.sub(r"[^a-z0-9.]+", "-", slug(record.editor.spec).lower()).strip("-.") or "editor"
    name = f"{name}-{record.key[:8]}"
    while name in pages:
        name += "-2"
    return name


def describe_editor(record: Record) -> str:
    """The own description of a built-in editor, its first paragraph; empty for any other."""
    from editors.core.registry import built_in

    editor_class = built_in(listed_only=False).get(record.editor.name)
    text = (editor_class.__doc__ or "").strip().split("\n\n")[0] if editor_class else ""
    return " ".join(text.replace("`", "").split())
