"""Each claim holds, does not hold and cannot be told on records that were constructed for it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboard.analyses.paper import Sources, read_list
from leaderboard.claims import evidence
from leaderboard.claims.report import ClaimReport
from leaderboard.claims.rules import FAILS, HOLDS, MEANS, OPEN, combine, decide
from leaderboard.claims.table import AnyClaim, Course, Difference, Order, Overlap, Setting, Sided, read_table, region
from leaderboard.records.sections import Score
from leaderboard.scores import metrics
from tests.leaderboard.claims.constructed import Quality, outcomes_of, samples, sources

FIGURES = {figure.name: figure for figure in read_list()}
OF_RUNS = [claim for claim in read_table().claims if claim.kind in ("difference", "order", "most", "trade")]


def matches(own: Mapping[str, Any], settings: tuple[Setting, ...]) -> bool:
    return any(all(own.get(name) == value for name, value in setting.items()) for setting in settings)


def moved(score: str, up: bool) -> Quality:
    """A quality whose score is clearly higher than usual, or lower."""
    if score == "spread":
        return Quality(uneven=up)
    step = 0.25 if up else -0.25
    return Quality(gr=0.5 + step * (score != "lr"), lr=0.5 + step * (score != "gr"))


def of_difference(claim: Difference, own: Mapping[str, Any], state: str) -> Quality | None:
    """The first ones differ from the second ones as claimed, or the other way."""
    first = matches(own, claim.first) if claim.first else not matches(own, claim.second)
    usual = Quality(uneven=claim.score == "spread" and claim.claimed == "above" and state == FAILS)
    if not first:
        return Quality(even=0.2) if state == OPEN else usual
    if state == OPEN:
        return Quality(odd=0.2)
    if state == FAILS:
        up = claim.claimed == "below"
        return Quality() if claim.score == "spread" else moved(claim.score, up)
    if claim.margin:  # as good as the others, but for one image of D_l
        return Quality(lr=0.505)
    return moved(claim.score, claim.claimed == "above")


def of_order(claim: Order, own: Mapping[str, Any], state: str) -> Quality | None:
    """A quality that rises along the knob, falls, or differs by groups alone."""
    place = own["samples_per_edit"] / 5 if claim.steps else own.get("sparsity", 0.5)
    if state == OPEN:
        return Quality(odd=0.3) if place > 0.5 else Quality(even=0.3)
    share = place if (claim.claimed == "rises") == (state == HOLDS) else 1 - place
    return Quality(gr=share, lr=share)


def quality(claim: AnyClaim, own: Mapping[str, Any], state: str) -> Quality | None:
    """The quality of one run that brings a claim into this state."""
    if isinstance(claim, Difference):
        return of_difference(claim, own, state)
    if isinstance(claim, Order):
        return of_order(claim, own, state)
    if claim.kind == "most":
        return Quality(sr={HOLDS: 1, FAILS: 0.3, OPEN: 0.95}[state])
    place = 0.1 * (len(own["editor"]) % 7) + 0.2
    odd = 0.15 * (len(own["editor"]) % 2)  # as no two editors are alike in every group
    return {HOLDS: Quality(place, 1 - place, odd=odd), FAILS: Quality(place, place, odd=odd), OPEN: Quality()}[state]


@pytest.mark.parametrize("state", [HOLDS, FAILS, OPEN])
@pytest.mark.parametrize("claim", OF_RUNS, ids=lambda claim: claim.name)
def test_a_claim_on_runs_is_judged_by_them(claim: AnyClaim, state: str) -> None:
    figure = FIGURES[claim.figures[0]]
    runs = sources(figure, lambda own: quality(claim, own, state))
    rows = list(ClaimReport(runs).rows_of(claim.model_copy(update={"figures": (figure.name,)})))
    assert [row.groups for row in rows] == list(claim.groups)
    for row in rows:
        assert row.verdict == state, row
        assert row.conditions.startswith("vitb16, ") and not any("stand in" in each for each in row.departures)
        if state != OPEN:
            assert row.difference.low is not None and row.of and not row.missing


@pytest.mark.parametrize("claim", OF_RUNS, ids=lambda claim: claim.name)
def test_a_claim_without_one_of_its_runs_cannot_be_told_and_says_what_is_missing(claim: AnyClaim) -> None:
    figure = FIGURES[claim.figures[0]]
    left_out: list[Any] = []

    def all_but_one(own: Mapping[str, Any]) -> Quality | None:
        named = claim.first or claim.second if isinstance(claim, Difference) else ()
        named = (claim.steps or ({"editor": claim.editors[0]},)) if isinstance(claim, Order) else named
        if not left_out and (not named or matches(own, named)):
            left_out.append(own)
        gone = left_out and (own is left_out[0] or (claim.kind == "order" and matches(own, named[:1])))
        if figure.field and isinstance(claim, Difference) and left_out:
            gone = own[figure.field] == left_out[0][figure.field]
        return None if gone else quality(claim, own, HOLDS)

    for row in ClaimReport(sources(figure, all_but_one)).rows_of(claim.model_copy(update={"figures": (figure.name,)})):
        assert row.verdict == OPEN and "there" in row.missing and figure.needs in row.missing


def folder(tmp_path: Path, name: str, columns: str, *rows: tuple[object, ...]) -> Path:
    with (tmp_path / name).open("w", newline="") as file:
        csv.writer(file).writerows([columns.split(), *rows])
    return tmp_path


@pytest.mark.parametrize(
    ("ends", "state"),
    [((0.1, 0.3), HOLDS), ((-0.3, -0.1), FAILS), ((-0.1, 0.3), OPEN), (("", ""), OPEN)],
)
def test_a_claim_on_masks_is_judged_by_their_overlap(tmp_path: Path, ends: tuple[Any, Any], state: str) -> None:
    claim = next(claim for claim in read_table().claims if isinstance(claim, Overlap))
    row = ("hypernetwork mini-seed1", 0.95, 0.2, *ends)
    other = ("hypernetwork", 0.5, -0.2, -0.3, -0.1)  # at another sparsity
    folder(tmp_path, MEANS, "editor sparsity difference difference_low difference_high", other, row)
    runs = sources(FIGURES["figure-5a"], lambda own: Quality() if own["editor"] == "hypernetwork" else None)
    (result,) = ClaimReport(Sources((tmp_path,), runs.runs, runs._read)).rows_of(claim)
    assert (result.verdict, result.difference.value) == (state, 0.2)


@pytest.mark.parametrize("state", [HOLDS, FAILS, OPEN])
@pytest.mark.parametrize(
    "claim", [claim for claim in read_table().claims if isinstance(claim, Course)], ids=lambda claim: claim.name
)
def test_a_claim_on_training_is_judged_by_its_curve(tmp_path: Path, claim: Course, state: str) -> None:
    steps = np.arange(1, 101)
    noise = np.where(steps % 2, 0.01, -0.01)
    slope = (
        {HOLDS: -1.0, FAILS: 1.0, OPEN: 0.0}[state]
        if claim.column == "kl"
        else {HOLDS: 0.0, FAILS: 1.0, OPEN: 0.07}[state]
    )
    values = 1 + slope * steps / 100 + noise * (20 if state == OPEN and claim.column == "sparsity" else 1)
    rows = [(step, value, value) for step, value in zip(steps, values, strict=True)]
    folder(tmp_path, "network.csv", "iteration kl sparsity", *rows)
    (tmp_path / "network.safetensors").touch()
    runs = sources(FIGURES["figure-5a"], lambda own: Quality() if own["editor"] == "hypernetwork" else None)
    (result,) = ClaimReport(Sources((tmp_path,), runs.runs, runs._read)).rows_of(claim)
    assert result.verdict == state


def test_without_any_run_no_claim_can_be_told() -> None:
    report = ClaimReport(Sources((), []))
    rows = report.claim_rows()
    assert {row.verdict for row in rows} == {OPEN} and all(row.missing for row in rows)
    numbers = report.number_rows(rows)
    assert len(numbers) == 16 and {number.verdict for number in numbers} == {OPEN}
    assert all(number.missing and number.where for number in numbers)


def test_a_second_base_is_judged_by_both_localities() -> None:
    claim = next(claim for claim in read_table().claims if claim.name == "lora-local")
    runs = sources(FIGURES["figure-F"], lambda own: quality(claim, own, HOLDS))
    rows = list(ClaimReport(runs).rows_of(claim.model_copy(update={"figures": ("figure-F",)})))
    assert [(row.groups[:3], row.locality) for row in rows] == [
        (groups, locality) for groups in ("all", "nat") for locality in ("lr", "lr_agreement")
    ]


@pytest.mark.parametrize(("kept", "verdicts"), [
    ("pairs 65 of 100 (65%), three_d 80 of 80 (100%)", [HOLDS, HOLDS]),
    ("natural 1,600 of 2,354 (68%), oil_painting 850 of 860 (99%)", [FAILS, FAILS]),
    ("all", [OPEN, OPEN]),
])  # fmt: skip
def test_the_share_that_another_base_gets_wrong_is_counted(kept: str, verdicts: list[str]) -> None:
    runs = sources(FIGURES["figure-F"], lambda own: Quality() if own["editor"] == "ft" else None)
    path, result = runs.runs[0]
    result = result.model_copy(update={"data": result.data.model_copy(update={"kept": kept})})
    report = ClaimReport(Sources((), [(path, result)]))
    assert [row.verdict for row in report.number_rows([]) if row.id.startswith("vits16")] == verdicts


@pytest.mark.parametrize(("claimed", "low", "high", "verdict"), [
    ("above", 0.1, 0.2, HOLDS), ("above", -0.2, -0.1, FAILS), ("above", -0.1, 0.1, OPEN), ("above", 0, 0.1, OPEN),
    ("below", -0.2, -0.1, HOLDS), ("below", 0.1, 0.2, FAILS), ("below", None, None, OPEN),
    ("not below", -0.01, 0.1, HOLDS), ("not below", -0.2, -0.1, FAILS), ("not below", -0.1, 0.1, OPEN),
    ("alike", -0.01, 0.01, HOLDS), ("alike", 0.03, 0.1, FAILS), ("alike", -0.1, -0.03, FAILS), ("alike", 0, 0.1, OPEN),
])  # fmt: skip
def test_the_interval_decides(claimed: str, low: float | None, high: float | None, verdict: str) -> None:
    assert decide(Score(value=0.0, low=low, high=high), region(claimed, 0.02)) == verdict
    assert issubclass(Difference, Sided)


def test_a_claim_of_several_parts_holds_with_all_and_fails_with_one() -> None:
    assert [combine(parts) for parts in ([HOLDS, HOLDS], [HOLDS, OPEN], [OPEN, FAILS], [])] == [
        HOLDS,
        OPEN,
        FAILS,
        OPEN,
    ]


def test_the_spread_of_gr_is_that_over_the_edits_of_a_group() -> None:
    run = outcomes_of(Quality(uneven=True), samples())
    hits = metrics.compute_hits(run)
    measured = evidence.spread(hits, metrics.resample(hits))
    assert measured.value == pytest.approx(np.mean([group.generalisation.std() for group in hits.groups]))
    assert np.nanmean(measured.replicates) == pytest.approx(measured.value, abs=0.02)
