"""The folder of a report, written whole or not at all.

report.html      the page, which opens without a network
paper.json       all that it says, as data
figures/         svg and csv of each figure, csv and LaTeX of each table
submissions/     the runs of each editor, for leaderboard.verify
SHA256SUMS       hashes of all of these, but for the cards of submissions
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from benchmark.core.checksums import names_below, write_checksums
from benchmark.core.errors import UserError
from benchmark.core.staging import recover, replacing_folder
from benchmark.core.versions import VERSION
from benchmark.core.workdir import Kind, check_replaceable
from leaderboard.analyses.paper import Sources
from leaderboard.records.environment import commit
from leaderboard.report.content import (
    CONTENT,
    SCHEMA_VERSION,
    Content,
    StepLine,
    choose_figures,
    describe_runs,
    judge,
    write_content,
)
from leaderboard.report.drawing import draw_figures
from leaderboard.report.handing import write_submissions
from leaderboard.report.page import PAGE, count_verdicts, write_page
from leaderboard.submissions.card import CARD
from leaderboard.submissions.layout import VERIFICATION

__all__ = ["REPORT", "Report", "StepLine", "write_report"]
REPORT = Kind("report", CONTENT, beside=frozenset({CARD, VERIFICATION}))


@dataclass(frozen=True)
class Report:
    """A report that was written.

    page: its page.
    verdicts: number of judgements by verdict.
    made: names of figures and tables.
    missing: those that could not be made, with the reason.
    """

    page: Path
    verdicts: dict[str, int]
    made: tuple[str, ...]
    missing: dict[str, str]

    @property
    def summary(self) -> str:
        """The counts in a line."""
        counts = ", ".join(f"{verdict} {count:,}" for verdict, count in self.verdicts.items())
        return f"claims: {counts}; {len(self.made)} figures and tables, {len(self.missing)} not made"


def write_report(
    sources: Sources, out: Path, steps: Sequence[StepLine], notes: Sequence[str] = (), figures: Sequence[str] = ()
) -> Report:
    """Write a report of finished runs and analyses into the folder `out`, which it replaces; cards in it are kept.

    `notes` are sentences for its head, `figures` the entries of `analyses/paper.json` that it shows, with the claims
    that they decide; without one, all. Raises `UserError` for a name that is none, without any run, and if `out` holds
    something else.
    """
    if not sources.runs:
        raise UserError("a report is made of runs, and there is none; python -m leaderboard.submit makes one")
    recover(out)
    check_replaceable(out, REPORT, inputs=[path for path, _ in sources.runs])
    chosen = choose_figures(figures)
    claims, numbers = judge(sources, chosen)
    head, is_changed = commit()
    with replacing_folder(out) as folder:
        lines = draw_figures(chosen, sources, folder)
        content = Content(
            schema_version=SCHEMA_VERSION,
            made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            version=VERSION,
            commit=head and f"{head}{' + changes' * bool(is_changed)}",
            notes=tuple(notes),
            conditions=tuple(describe_runs([record for _, record in sources.runs])),
            claims=tuple(claims),
            numbers=tuple(numbers),
            figures=tuple(lines),
            steps=tuple(steps),
            submissions=tuple(write_submissions(sources.runs, folder, out)),
        )
        write_content(folder, content)
        write_page(folder, content)
        write_checksums(folder, [name for name in names_below(folder) if Path(name).name != CARD])
    made = tuple(line.name for line in lines if not line.missing)
    return Report(out / PAGE, count_verdicts(claims), made, {line.name: line.missing for line in lines if line.missing})
