"""The page of a report: one file of HTML, with its style and its pictures in it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from benchmark.core.errors import listed
from benchmark.core.readers import read_csv
from benchmark.core.text import duration, fill_template
from leaderboard.board.site import ASSETS as BOARD
from leaderboard.claims.report import ClaimRow
from leaderboard.claims.rules import FAILS, HOLDS, OPEN
from leaderboard.claims.table import read_table
from leaderboard.records.sections import Score
from leaderboard.report.content import CONTENT, Content, FigureLine, reservations
from leaderboard.report.handing import HANDED_IN
from leaderboard.scores.tables import cell

ASSETS = Path(__file__).parent / "assets"
PAGE = "report.html"
VERDICTS = (HOLDS, FAILS, OPEN)
STYLES = {HOLDS: "right", FAILS: "wrong", OPEN: "open"}
LOCALITIES = {"": "", "lr": "LR by label", "lr_agreement": "LR by agreement with the base"}
PLAIN = ("trade", "course")  # kinds of rules whose difference is no share


@dataclass(frozen=True)
class Judgement:
    """One row of a claim's table: verdicts that were reached alike stand together.

    scopes: the groups and the reading of locality of each.
    others: all comparisons, where there are several: of what, the difference or what is missing, and the verdict.
    """

    figure: str
    scopes: tuple[tuple[str, str], ...]
    of: str
    difference: str
    verdict: str
    missing: str
    others: tuple[tuple[str, str, str], ...]

    @property
    def scope(self) -> str:
        """The groups, and the readings of locality where there are several of them."""
        parts = [list(dict.fromkeys(filter(None, part))) for part in zip(*self.scopes, strict=True)]
        return "; ".join(listed(part, "and") for part in parts if part)


@dataclass(frozen=True)
class ClaimView:
    """A claim with its rows. `conditions` says for each figure and set of groups what it was judged on."""

    name: str
    says: str
    where: str
    rule: str
    departures: tuple[str, ...]
    conditions: tuple[str, ...]
    rows: tuple[Judgement, ...]


def write_page(folder: Path, content: Content) -> Path:
    """Write the page of a report, of which all other files are in the folder already."""
    shown = {line.name: line for line in content.figures if not line.missing}
    counts = count_verdicts(content.claims)
    page = folder / PAGE
    page.write_text(
        fill_template(
            ASSETS / "report.html.jinja",
            style=Markup(_read(BOARD / "board.css") + _read(ASSETS / "report.css")),
            content=content,
            reservations=reservations(content.conditions),
            verdicts=[(word, STYLES[word], counts[word]) for word in VERDICTS],
            styles=STYLES,
            claims=view_claims(content.claims),
            pictures={name: _picture(folder, line) for name, line in shown.items()},
            tables={name: _table(folder, line) for name, line in shown.items()},
            duration=duration,
            handed_in=HANDED_IN,
            data_file=CONTENT,
        ),
        encoding="utf-8",
    )
    return page


def count_verdicts(rows: Iterable[ClaimRow]) -> dict[str, int]:
    """The number of rows with each verdict."""
    verdicts = [row.verdict for row in rows]
    return {word: verdicts.count(word) for word in VERDICTS}


def view_claims(rows: Sequence[ClaimRow]) -> list[ClaimView]:
    """The claims in their order, each with its rows."""
    plain = {claim.name for claim in read_table().claims if claim.kind in PLAIN}
    views = []
    for name in dict.fromkeys(row.claim for row in rows):
        own = [row for row in rows if row.claim == name]
        departures = tuple(dict.fromkeys(each for row in own for each in row.departures))
        readings = {row.figure: {other.locality for other in own if other.figure == row.figure} for row in own}
        judgements = [_judgement(row, name in plain, len(readings[row.figure]) > 1) for row in own]
        judged_on = (f"{row.figure.split(':')[0]}, {row.groups}: {row.conditions}" for row in own if row.conditions)
        conditions = tuple(dict.fromkeys(judged_on))
        rows_of = tuple(_joined(judgements))
        views.append(ClaimView(name, own[0].says, own[0].where, own[0].rule, departures, conditions, rows_of))
    return views


def _judgement(row: ClaimRow, is_plain: bool, says_locality: bool) -> Judgement:
    scope = row.groups, LOCALITIES[row.locality] if says_locality else ""
    others = tuple(
        (each.of, show_difference(each.difference, is_plain) or each.missing, each.verdict) for each in row.comparisons
    )
    difference = show_difference(row.difference, is_plain)
    return Judgement(
        row.figure, (scope,), row.of, difference, row.verdict, row.missing,
        others if len(others) > 1 else (),
    )  # fmt: skip


def _joined(rows: Sequence[Judgement]) -> list[Judgement]:
    """Rows that differ in their scope alone as one row."""
    joined: dict[Judgement, tuple[tuple[str, str], ...]] = {}
    for row in rows:
        key = replace(row, scopes=())
        joined[key] = (*joined.get(key, ()), *row.scopes)
    return [replace(row, scopes=scopes) for row, scopes in joined.items()]


def show_difference(score: Score, is_plain: bool) -> str:
    """A difference with its interval, in points of a per cent; a `is_plain` one as it is. Empty for none.

    >>> show_difference(Score(value=0.125, low=0.1, high=0.15), False)
    '+12.5 [10.0, 15.0]'
    """
    if score.value is None:
        return ""
    if not is_plain:
        return f"{'+' * (score.value > 0)}{cell(score, interval=True)}"
    interval = "–" if score.low is None or score.high is None else f"{score.low:.3f}, {score.high:.3f}"
    return f"{score.value:+.3f} [{interval}]"


def _picture(folder: Path, line: FigureLine) -> str:
    """A figure's picture as the address of an image that holds it; empty for a table."""
    pictures = [name for name in line.files if name.endswith(".svg")]
    if not pictures:
        return ""
    return f"data:image/svg+xml;base64,{base64.b64encode((folder / pictures[0]).read_bytes()).decode('ascii')}"


def _table(folder: Path, line: FigureLine) -> list[list[str]]:
    """The header and the rows of a table's csv; empty for a figure."""
    if any(name.endswith(".svg") for name in line.files):
        return []
    (file,) = (folder / name for name in line.files if name.endswith(".csv"))
    rows = list(read_csv(file, ()))
    return [list(rows[0]), *(list(row.values()) for row in rows)]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
