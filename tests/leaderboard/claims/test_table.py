"""The table of claims: each is cited, and its figures, editors, settings and departures exist."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from editors.core.base import knob_of
from editors.core.registry import built_in, choose
from editors.training.pretrained import PretrainedEditor
from leaderboard.analyses.paper import read_list
from leaderboard.claims.rules import OF_FILES, OF_RUNS
from leaderboard.claims.table import AnyClaim, Difference, Order, Overlap, Table, read_table

CITED = re.compile(r"Abstract|(Figs?\.|Table) ?\w|\b[1-6](\.\d)?\b|\b[A-E]\.\d")
FIGURES = {figure.name: figure for figure in read_list()}
TABLE = read_table()


@pytest.mark.parametrize("claim", TABLE.claims, ids=lambda claim: claim.name)
def test_a_claim_is_cited_and_all_that_it_names_exists(claim: AnyClaim) -> None:
    assert CITED.search(claim.where) and claim.says.endswith(".") and claim.rule
    assert claim.figures and set(claim.figures) <= FIGURES.keys() and claim.groups
    assert claim.departures and set(claim.departures) <= TABLE.departures.keys()
    assert claim.kind == "undecided" or claim.kind in {**OF_RUNS, **OF_FILES}
    for figure in map(FIGURES.__getitem__, claim.figures):
        names = {*figure.editors}
        if isinstance(claim, Overlap):
            assert claim.editor in names
        if isinstance(claim, Order):
            assert set(claim.editors) <= names and bool(claim.editors) != bool(claim.steps)
        for setting in (*claim.first, *claim.second) if isinstance(claim, Difference) else ():
            fields = set(setting) - {"editor"}
            if figure.drawn_as == "recipes":
                editor = choose(figure.editors[0], "vitb16").editor_class
                assert issubclass(editor, PretrainedEditor) and fields == {figure.field}
            else:
                name = str(setting.get("editor", figure.editors[0]))
                assert name in names and fields <= vars(choose(name, "vitb16").config).keys()


def test_the_editors_that_the_paper_runs_once_exist() -> None:
    assert set(TABLE.once) <= {*built_in()}
    for name in {"kn", "spt", "hypernetwork", "random-mask", "ft-l1", "ft-l2"}:
        assert name not in TABLE.once and knob_of(choose(name, "vitb16").config) is not None


def test_claims_cover_each_figure_with_results() -> None:
    """Figs. E, G and I repeat others by group: the paper's prose says nothing more of them."""
    of_claims = {figure for claim in TABLE.claims for figure in claim.figures}
    with_results = {name for name in FIGURES if name.startswith("figure")}
    assert with_results - of_claims == {"figure-E", "figure-G", "figure-I"}


def test_the_two_means_of_figure_4_are_both_computed() -> None:
    of_figure_4 = [claim for claim in TABLE.claims if "groups" in claim.departures]
    assert len(of_figure_4) >= 8
    assert all(claim.groups == ("all groups", "natural groups") for claim in of_figure_4)


def test_names_are_given_once_and_departures_have_their_source() -> None:
    names = [claim.name for claim in TABLE.claims]
    assert len(names) == len(set(names))
    assert all(departure.where and departure.says.endswith(".") for departure in TABLE.departures.values())


def test_the_16_results_are_cited_and_compared() -> None:
    assert len({number.id for number in TABLE.numbers}) == len(TABLE.numbers) == 16
    names = {claim.name for claim in TABLE.claims}
    for number in TABLE.numbers:
        assert CITED.search(number.where) and set(number.departures) <= TABLE.departures.keys()
        measured = None not in (number.measure, number.value, number.tolerance)
        assert [number.claim in names, measured, bool(number.needs)].count(True) == 1


@pytest.mark.parametrize(
    "change", [{"where": ""}, {"claimed": "better"}, {"score": "glow"}, {"kind": "guess"}, {"x": 1}]
)
def test_a_claim_that_no_rule_can_decide_is_refused(change: dict[str, object]) -> None:
    claim = {**next(each for each in TABLE.claims if each.kind == "difference").model_dump(), **change}
    with pytest.raises(ValidationError):
        Table.model_validate({**TABLE.model_dump(), "claims": [claim]})
