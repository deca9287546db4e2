"""The verdict on a claim: one small function for each kind of rule of `claims.yaml`, all by the same decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.readers import Unreadable, read_csv
from leaderboard.analyses import paper_makers
from leaderboard.analyses.paper import NotThere, PaperFigure, Sources
from leaderboard.claims.evidence import Arm, Evidence, Measured, mean
from leaderboard.claims.table import Course, Difference, Most, Order, Overlap, Region, Setting, Trade, region
from leaderboard.records.sections import Score
from leaderboard.scores import metrics
from leaderboard.scores.resampling import LEVEL
from leaderboard.scores.summary import with_interval

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
MEANS = "iou-means.csv"
NOTHING = Score(value=None)


@dataclass(frozen=True)
class Comparison:
    """A difference with its 95 % interval and verdict; `of` says of what, `missing` what it would need."""

    of: str
    verdict: str
    difference: Score = NOTHING
    missing: str = ""


def decide(difference: Score, allowed: Region) -> str:
    """The verdict: the interval lies inside what a claim allows, wholly outside, or neither (or there is none).

    >>> decide(Score(value=0.1, low=0.05, high=0.2), region("above", 0))
    'holds'
    >>> decide(Score(value=0.1, low=-0.05, high=0.2), region("above", 0))
    'cannot be told'
    """
    if difference.low is None or difference.high is None:
        return OPEN
    if allowed.low < difference.low and difference.high < allowed.high:
        return HOLDS
    return FAILS if difference.high < allowed.low or difference.low > allowed.high else OPEN


def combine(verdicts: Sequence[str]) -> str:
    """The verdict on a claim of several parts: it fails with one of them, and holds with all."""
    return FAILS if FAILS in verdicts else OPEN if OPEN in verdicts or not verdicts else HOLDS


def compare(of: str, difference: Score, allowed: Region) -> Comparison:
    """A comparison and its verdict; without an interval it says why."""
    missing = ""
    if difference.value is None:
        missing = "the score is not defined, such as LR where labels are unknown"
    elif difference.low is None:
        missing = "no two runs or edits differ, so there is no interval"
    return Comparison(of, decide(difference, allowed), difference, missing)


def _subtract(first: Measured, second: Measured) -> Score:
    return with_interval(first.value - second.value, first.replicates - second.replicates)


def difference(claim: Difference, evidence: Evidence, locality: str) -> list[Comparison]:
    """Each first minus each second, or minus their mean, or the mean of the firsts minus it."""
    first = claim.first or evidence.others(claim.second)
    second = claim.second or evidence.others(claim.first)
    sides: list[list[tuple[str, Setting]]] = [[(_name(each), each) for each in side] for side in (first, second)]
    as_means = {"each with each": (False, False), "each with mean": (False, True), "mean with mean": (True, True)}
    measured = [
        list(_measure(side, evidence, claim.score, locality, as_mean))
        for side, as_mean in zip(sides, as_means[claim.compare], strict=True)
    ]
    return [
        Comparison(f"{a} - {b}", OPEN, missing=x if isinstance(x, str) else str(y))
        if isinstance(x, str) or isinstance(y, str)
        else compare(f"{a} - {b}", _subtract(x, y), claim.region)
        for a, x in measured[0]
        for b, y in measured[1]
    ]


def _name(setting: Setting) -> str:
    return " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in setting.values())


def _measure(
    side: Sequence[tuple[str, Setting]], evidence: Evidence, score: str, locality: str, as_mean: bool
) -> Iterator[tuple[str, Measured | str]]:
    """The score of each setting of a side, or of their mean; in its place, what is missing."""
    values: list[tuple[str, Measured | str]] = []
    for name, setting in side:
        try:
            values.append((name, evidence.measure(evidence.arm(setting), score, locality)))
        except NotThere as error:
            values.append((name, str(error)))
    missing = [value for _, value in values if isinstance(value, str)]
    if not as_mean:
        yield from values
    elif missing:
        yield _joined(values), missing[0]
    else:
        yield _joined(values), mean([value for _, value in values if not isinstance(value, str)])


def _joined(values: Sequence[tuple[str, Any]]) -> str:
    names = ", ".join(name for name, _ in values)
    return f"mean of {names}" if len(values) > 1 else names


def order(claim: Order, evidence: Evidence, locality: str) -> list[Comparison]:
    """The last minus the first of each series; a step that goes the other way turns the verdict."""
    series = [evidence.series(name) for name in claim.editors] or [list(claim.steps)]
    allowed = region("above" if claim.claimed == "rises" else "below", 0)
    results = []
    for settings in series:
        of = f"{_name(settings[-1])} - {_name(settings[0])}"
        try:
            values = [evidence.measure(evidence.arm(setting), claim.score, locality) for setting in settings]
        except NotThere as error:
            results.append(Comparison(of, OPEN, missing=str(error)))
            continue
        ends = compare(of, _subtract(values[-1], values[0]), allowed)
        steps = [
            compare(f"{_name(b)} - {_name(a)}", _subtract(y, x), allowed)
            for (a, b, x, y) in zip(settings, settings[1:], values, values[1:], strict=False)
        ]
        results += [ends, *(step for step in steps if step.verdict == FAILS)]
    return results


def most(claim: Most, evidence: Evidence, locality: str) -> list[Comparison]:
    """SR minus the least, of the editor in the middle; holds if more than half of all intervals are above it."""
    verdicts, scores = [], []
    for name in evidence.figure.editors:
        try:
            score = _success(evidence, evidence.arm({"editor": name}), claim.least)
        except NotThere as error:
            return [Comparison(name, OPEN, missing=str(error))]
        verdicts.append(decide(score, region("above", 0)))
        scores.append((score.value or 0.0, name, score))
    _, name, middle = sorted(scores, key=lambda each: each[:2])[(len(scores) - 1) // 2]
    half = len(verdicts) / 2
    verdict = HOLDS if verdicts.count(HOLDS) > half else FAILS if verdicts.count(FAILS) >= half else OPEN
    of = f"{name}, the editor in the middle, - {claim.least:g}; {verdicts.count(HOLDS)} of {len(verdicts)} are above"
    return [Comparison(of, verdict, middle)]


def _success(evidence: Evidence, arm: Arm, least: float) -> Score:
    """SR of an arm minus `least`: means over its runs of the value and of the ends of Wilson's interval."""
    ends = []
    for run in (n for runs in arm.repetitions for n in runs):
        success = np.concatenate([group.success for group in metrics.compute_hits(evidence.outcomes[run]).groups])
        ends.append((success.mean(), *metrics.wilson(int(success.sum()), len(success))))
    value, low, high = np.mean(ends, axis=0) - least
    return Score(value=float(value), low=float(low), high=float(high))


def trade(claim: Trade, evidence: Evidence, locality: str) -> list[Comparison]:
    """Rank correlation of GR and LR over all settings, which need both."""
    runs = sorted({n for name in evidence.figure.editors for each in evidence.arm({"editor": name}).repetitions
                   for n in each})  # fmt: skip
    gr, lr = ([evidence.scores[n][name] for n in runs] for name in ("gr", locality))
    value = _rank_correlation(*(np.array([[each.value for each in axis]]) for axis in (gr, lr)))[0]
    replicates = _rank_correlation(*(np.stack([each.replicates for each in axis], 1) for axis in (gr, lr)))
    of = f"rank correlation over {len(runs)} settings"
    return [compare(of, with_interval(float(value), replicates), region("below", 0))]


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row of two arrays (rows, settings); NaN where a row has a NaN or no spread."""
    ranks = [pd.DataFrame(each).rank(axis=1).to_numpy() for each in (first, second)]
    a, b = (each - each.mean(1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: np.ndarray = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return result


def overlap(claim: Overlap, figure: PaperFigure, sources: Sources) -> list[Comparison]:
    """IoU within groups minus across, of the newest analysis that has the editor's masks at this sparsity."""
    columns = ("editor", "sparsity", "difference", "difference_low", "difference_high")
    for path in sources.files(MEANS):
        for row in read_csv(path, columns, f"make it again: {figure.needs}"):
            try:
                sparsity, *ends = (float(row[name] or "nan") for name in columns[1:])
            except ValueError as error:
                raise Unreadable(path, f"holds a number that is none ({error})") from error
            if row["editor"].split()[:1] == [claim.editor] and math.isclose(sparsity, claim.sparsity):
                score = Score(value=ends[0], low=ends[1], high=ends[2])
                return [compare("within - across", score, region("above", 0))]
    raise NotThere(f"there is no {MEANS} with {claim.editor} at sparsity {claim.sparsity:g}")


def course(claim: Course, figure: PaperFigure, sources: Sources) -> list[Comparison]:
    """The mean of late points of the training curve minus that of early ones, with Welch's interval."""
    _, curve = paper_makers.training_curve(figure, sources)
    shares, values = np.array(curve["iteration"]) / max(curve["iteration"]), np.array(curve[claim.column])
    late, early = (values[(low <= shares) & (shares <= high)] for low, high in (claim.late, claim.early))
    if min(len(late), len(early)) < 2:
        raise NotThere("the training curve has too few points")
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(
        late.var(ddof=1) / len(late) + early.var(ddof=1) / len(early)
    )
    value = float(late.mean() - early.mean())
    ends = {"low": value - half, "high": value + half} if half else {}
    return [compare("late - early", Score(value=value, **ends), claim.region)]


OF_RUNS: dict[str, Callable[[Any, Evidence, str], list[Comparison]]] = {
    "difference": difference,
    "order": order,
    "most": most,
    "trade": trade,
}
OF_FILES: dict[str, Callable[[Any, PaperFigure, Sources], list[Comparison]]] = {"overlap": overlap, "course": course}
