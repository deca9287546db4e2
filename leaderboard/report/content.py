"""All that a report says, as data: `paper.json` holds it, and the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmark.core.errors import unknown
from benchmark.core.readers import Unreadable, read_text
from leaderboard.analyses.paper import BASES, PaperFigure, Sources, read_list
from leaderboard.claims.report import ClaimReport, ClaimRow, NumberRow
from leaderboard.claims.table import read_table
from leaderboard.records.main_table import off_main_table
from leaderboard.records.record import Record
from leaderboard.records.runs import group_comparable
from leaderboard.records.sections import first_problem
from leaderboard.scores.tables import edits_of

SCHEMA_VERSION: Literal[1] = 1
CONTENT = "paper.json"


@dataclass(frozen=True)
class StepLine:
    """A step of the chain: its name, what it does, its state in words, its commands, and the seconds that it took."""

    name: str
    says: str
    state: str
    commands: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Conditions:
    """Values that some comparable runs share.

    devices: processors, in words.
    commits: those of the code that judged; "+ changes" stands behind one of a changed tree.
    why_off: the reason why they are no result of the whole benchmark; empty if they are one.
    """

    base: str
    data: str
    edits: str
    runs: int
    editors: tuple[str, ...]
    precision: str
    devices: tuple[str, ...]
    commits: tuple[str, ...]
    versions: dict[str, str]
    first: str
    last: str
    why_off: str


@dataclass(frozen=True)
class FigureLine:
    """A figure or table of the paper: its files below the report, or what is missing and the command that makes it."""

    name: str
    heading: str
    shows: str
    made_of: str
    files: tuple[str, ...]
    missing: str
    needs: str


@dataclass(frozen=True)
class SubmissionLine:
    """Runs of one editor as a submission; `folder` is below the report, empty where it cannot be packed.

    problem: why it cannot be packed, or what `leaderboard.verify` would refuse. left_out: files that stay behind.
    """

    editor: str
    settings: tuple[str, ...]
    conditions: str
    folder: str
    problem: str
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Content:
    """A report. `made` is its time in UTC, `commit` that of the code that made it."""

    schema_version: Literal[1]
    made: str
    version: str
    commit: str | None
    notes: tuple[str, ...]
    conditions: tuple[Conditions, ...]
    claims: tuple[ClaimRow, ...]
    numbers: tuple[NumberRow, ...]
    figures: tuple[FigureLine, ...]
    steps: tuple[StepLine, ...]
    submissions: tuple[SubmissionLine, ...]


def write_content(folder: Path, content: Content) -> None:
    """Write ``paper.json``; what is no number is null."""
    (folder / CONTENT).write_bytes(_adapter().dump_json(content, indent=2) + b"\n")


def read_content(folder: Path) -> Content:
    """Read the ``paper.json`` of a report. Raises `Unreadable` for a file that is none, or of another version."""
    from pydantic import ValidationError

    path = folder / CONTENT
    try:
        content: Content = _adapter().validate_json(read_text(path))
    except ValidationError as error:
        raise Unreadable(path, f"is no report of this version: {first_problem(error)}", "make it again") from error
    return content


@cache
def _adapter() -> Any:
    from pydantic import ConfigDict, TypeAdapter, with_config

    return TypeAdapter(with_config(ConfigDict(ser_json_inf_nan="null", extra="forbid"))(Content))


def choose_figures(names: Sequence[str]) -> list[PaperFigure]:
    """The figures and tables of these names, in the paper's order; all without one. Raises `UserError`."""
    figures = read_list()
    known = [figure.name for figure in figures]
    for name in names:
        if name not in known:
            raise unknown("figure or table of the paper", name, known)
    return [figure for figure in figures if not names or figure.name in names]


def judge(sources: Sources, figures: Sequence[PaperFigure]) -> tuple[list[ClaimRow], list[NumberRow]]:
    """The verdicts on all claims that these figures decide, and the printed results beside ours."""
    from tqdm.auto import tqdm

    report, chosen = ClaimReport(sources), {figure.name for figure in figures}
    asked = {claim.name: claim.figures[0] in chosen for claim in read_table().claims}
    claims = [
        claim.model_copy(update={"figures": kept})
        for claim in read_table().claims
        if (kept := tuple(name for name in claim.figures if name in chosen))
    ]
    bar = tqdm(claims, desc="claims", unit="claim", leave=False)
    rows = [row for claim in bar for row in report.rows_of(claim)]
    numbers = zip(read_table().numbers, report.number_rows(rows), strict=True)
    return rows, [row for number, row in numbers if number.claim is None or asked[number.claim]]


def describe_runs(records: Sequence[Record]) -> list[Conditions]:
    """The conditions of runs, those with most editors first, then those with most runs."""
    conditions = []

    def width(group: Sequence[Record]) -> tuple[int, int]:
        return len({record.editor.name for record in group}), len(group)

    for group in sorted(group_comparable(records), key=width, reverse=True):
        record, created = group[0], sorted(record.created for record in group)
        environments = [record.environment for record in group]
        commits = [f"{each.commit or 'none'}{' + changes' * bool(each.dirty)}" for each in environments]
        conditions.append(
            Conditions(
                base=record.base.name,
                data=f"{record.data.name} ({record.data.version})",
                edits=edits_of(record),
                runs=len(group),
                editors=tuple(dict.fromkeys(record.editor.name for record in group)),
                precision=record.comparable_key().precision,
                devices=tuple(dict.fromkeys(each.device_name for each in environments)),
                commits=tuple(dict.fromkeys(commits)),
                versions=record.environment.versions,
                first=created[0],
                last=created[-1],
                why_off=off_main_table(record),
            )
        )
    return conditions


def reservations(conditions: Sequence[Conditions]) -> list[str]:
    """Sentences on what the verdicts cannot say: other bases than the paper's, and runs on a part of the data."""
    bases = list(dict.fromkeys(each.base for each in conditions))
    sentences = []
    if others := [base for base in bases if base not in BASES]:
        sentences.append(
            f"Stand-in base: {', '.join(others)} in place of the paper's {' and '.join(BASES)}; a verdict is on this "
            "base and data, and no repetition of the paper's own result."
        )
    if partial := list(dict.fromkeys(each.why_off for each in conditions if each.why_off)):
        sentences.append(f"Some runs would not stand on the main table: {'; '.join(partial)}.")
    return sentences
