"""Rows for a report: each claim and each printed result, with our difference, the verdict and known departures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from leaderboard.analyses import paper_makers
from leaderboard.analyses.paper import BASES, NATURAL, NotThere, PaperFigure, Sources, read_list
from leaderboard.claims.evidence import Evidence, gather
from leaderboard.claims.rules import FAILS, HOLDS, NOTHING, OF_FILES, OF_RUNS, OPEN, Comparison, combine
from leaderboard.claims.table import AnyClaim, Number, read_table
from leaderboard.records.record import ROUNDING
from leaderboard.records.sections import Score

SETTLED = (0.25, 0.5)  # shares of all iterations between which the sparsity of a training has settled


@dataclass(frozen=True)
class ClaimRow:
    """A claim as judged by the runs of one figure, over some groups, with one LR.

    difference: of the comparison that decides: one that fails, else one that cannot be told, else the smallest.
    comparisons: all of them. missing: what it would need to be told. departures: sentences, each with its source.
    """

    claim: str
    says: str
    where: str
    figure: str
    rule: str
    groups: str
    locality: str
    conditions: str
    of: str
    difference: Score
    verdict: str
    missing: str
    departures: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class NumberRow:
    """A printed result beside ours; `ours` names the claim or the measure that it is compared with."""

    id: str
    where: str
    quantity: str
    printed: str
    ours: str
    rule: str
    verdict: str
    missing: str
    departures: tuple[str, ...]


@dataclass(frozen=True)
class ClaimReport:
    """The verdicts of finished runs and analyses; runs that several claims need are resampled once."""

    sources: Sources
    _gathered: dict[tuple[str, str], Evidence | str] = field(default_factory=dict)

    def claim_rows(self) -> list[ClaimRow]:
        """A row for each claim, figure, set of groups and, of a base that D_l was not chosen with, each LR."""
        return [row for claim in read_table().claims for row in self.rows_of(claim)]

    def rows_of(self, claim: AnyClaim) -> Iterator[ClaimRow]:
        """The rows of one claim."""
        figures = {figure.name: figure for figure in read_list()}
        for figure in map(figures.__getitem__, claim.figures):
            for groups in claim.groups:
                for locality in _localities(claim, figure):
                    yield self._row(claim, figure, groups, locality)

    def _row(self, claim: AnyClaim, figure: PaperFigure, groups: str, locality: str) -> ClaimRow:
        comparisons: Sequence[Comparison] = ()
        extra: tuple[str, ...] = ()
        missing, conditions = "", ""
        try:
            if claim.kind == "undecided":
                missing = claim.needs
            elif claim.kind in OF_FILES:
                extra = self._stand_in(figure)
                comparisons = OF_FILES[claim.kind](claim, figure, self.sources)
            else:
                evidence = self._gather(figure, groups)
                conditions, extra = evidence.conditions, evidence.departures
                comparisons = OF_RUNS[claim.kind](claim, evidence, locality)
        except NotThere as error:
            missing = f"{error}; it needs: {figure.needs}"
        absent = dict.fromkeys(each.missing for each in comparisons if each.missing)
        if any(each.difference is NOTHING for each in comparisons):
            absent[f"it needs: {figure.needs}"] = None
        verdict = combine([each.verdict for each in comparisons])
        decisive = min((each for each in comparisons if each.verdict == verdict), key=_size, default=None)
        return ClaimRow(
            claim.name, claim.says, claim.where, figure.heading, claim.rule, groups, locality, conditions,
            decisive.of if decisive else "", decisive.difference if decisive else NOTHING, verdict,
            missing or "; ".join(absent),
            explain((*extra, *claim.departures)), tuple(comparisons),
        )  # fmt: skip

    def _stand_in(self, figure: PaperFigure) -> tuple[str, ...]:
        """The departure that another base stands in for the figure's. Raises `NotThere` without a base."""
        return () if self.sources.of_base(figure.base)[0][1].base.name == figure.base else ("stand-in",)

    def _gather(self, figure: PaperFigure, groups: str) -> Evidence:
        key = figure.name, groups
        if key not in self._gathered:
            try:
                self._gathered[key] = gather(figure, self.sources, groups, read_table().once)
            except NotThere as error:
                self._gathered[key] = str(error)
        evidence = self._gathered[key]
        if isinstance(evidence, str):
            raise NotThere(evidence)
        return evidence

    def number_rows(self, rows: Sequence[ClaimRow]) -> list[NumberRow]:
        """A row for each printed result, from the rows of the claims and our own measures."""
        # The paper prints each of them for its first base, so that the figure that a claim names first decides it.
        first = {claim.name: claim.figures[0] for claim in read_table().claims}
        headings = {figure.name: figure.heading for figure in read_list()}
        return [
            self._number(
                number, [row for row in rows if row.claim == number.claim and row.figure == headings[first[row.claim]]]
            )
            for number in read_table().numbers
        ]

    def _number(self, number: Number, rows: Sequence[ClaimRow]) -> NumberRow:
        ours, rule, verdict, missing = "", "none: nothing of ours is compared with it", OPEN, ""
        departures = explain(number.departures)
        if rows:
            ours, rule, verdict = f"claim {number.claim}", rows[0].rule, combine([row.verdict for row in rows])
            missing = "; ".join(dict.fromkeys(row.missing for row in rows if row.missing))
            departures = tuple(dict.fromkeys(each for row in rows for each in (*departures, *row.departures)))
        elif number.measure is None or number.value is None or number.tolerance is None:
            missing = number.needs
        else:
            rule = f"{number.measure} of ours is {number.value:g}, within {number.tolerance:g}"
            try:
                value = self._measure(number.measure)
                ours = f"{value:.4g}"
                verdict = HOLDS if abs(value - number.value) <= number.tolerance + ROUNDING else FAILS
                if number.measure.endswith("sparsity"):
                    departures = (*explain(self._stand_in(_training_figure())), *departures)
            except NotThere as error:
                missing = str(error)
        return NumberRow(
            number.id, number.where, number.quantity, number.printed, ours, rule, verdict, missing, departures
        )

    def _measure(self, name: str) -> float:
        """One of our own numbers. Raises `NotThere` without what it is made of."""
        if name.startswith("kept "):
            return _kept_share(name == "kept natural", self.sources)
        _, curve = paper_makers.training_curve(_training_figure(), self.sources)
        if name == "first sparsity":
            return curve["sparsity"][0]
        shares = np.array(curve["iteration"]) / max(curve["iteration"])
        settled = np.array(curve["sparsity"])[(shares >= SETTLED[0]) & (shares <= SETTLED[1])]
        if not settled.size:
            raise NotThere("the training curve has too few points")
        return float(settled.mean())


def _training_figure() -> PaperFigure:
    return next(figure for figure in read_list() if figure.drawn_as == "training")


def _size(comparison: Comparison) -> float:
    return abs(comparison.difference.value) if comparison.difference.value is not None else -1.0


def _localities(claim: AnyClaim, figure: PaperFigure) -> tuple[str, ...]:
    """The LRs that a rule looks at: both where the figure's base is not the one that D_l was chosen with."""
    looks_at_lr = claim.kind == "trade" or (claim.kind in ("difference", "order") and claim.score in ("lr", "area"))
    if not looks_at_lr:
        return ("",)
    return ("lr",) if figure.base == BASES[0] else ("lr", "lr_agreement")


def explain(names: Sequence[str]) -> tuple[str, ...]:
    """The sentences of departures, each with its source."""
    departures = read_table().departures
    return tuple(f"{departures[name].says} ({departures[name].where})" for name in dict.fromkeys(names))


def _kept_share(natural: bool, sources: Sources) -> float:
    """Share of the natural or generated images that the paper's second base gets wrong, from a record's counts."""
    runs = [record for _, record in sources.runs if record.base.name == BASES[1]]
    if not runs:
        raise NotThere(f"there is no run of {BASES[1]}")
    counts = re.findall(r"(\w+) ([\d,]+) of ([\d,]+)", runs[0].data.kept)
    kept, whole = (
        sum(int(row[column].replace(",", "")) for row in counts if (row[0] in NATURAL) == natural) for column in (1, 2)
    )
    if not whole:
        raise NotThere(f"the record says no counts of the images that {BASES[1]} gets wrong")
    return kept / whole
