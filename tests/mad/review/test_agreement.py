from __future__ import annotations

import math

import numpy as np
import pytest

from benchmark.core.errors import UserError
from mad.review.agreement import (
    choose_annotators,
    cohen_kappa,
    collect_verdicts,
    compare_annotators,
    decide_states,
    list_conflicts,
)


@pytest.mark.parametrize(
    ("both_yes", "yes_no", "no_yes", "both_no", "kappa"),
    [
        (20, 5, 10, 15, 0.4),  # p_o = 35/50, p_e = .5 * .6 + .5 * .4 = .5
        (45, 15, 25, 15, 0.06 / 0.46),  # p_o = .6, p_e = .6 * .7 + .4 * .3 = .54
        (25, 35, 5, 35, 0.14 / 0.54),  # p_o = .6, p_e = .6 * .3 + .4 * .7 = .46
        (3, 0, 0, 4, 1.0),
        (0, 5, 5, 0, -1.0),
        (6, 4, 0, 0, 0.0),  # the first only ever accepts: no better than chance
    ],
)
def test_kappa_worked_by_hand(both_yes: int, yes_no: int, no_yes: int, both_no: int, kappa: float) -> None:
    counts = [both_yes, yes_no, no_yes, both_no]
    first = np.repeat([True, True, False, False], counts)
    second = np.repeat([True, False, True, False], counts)
    assert cohen_kappa(first, second) == pytest.approx(kappa, abs=1e-12)
    assert cohen_kappa(~second, ~first) == pytest.approx(kappa, abs=1e-12)


def test_kappa_against_its_meaning() -> None:
    """Chance agreement is that of every answer of the one with every answer of the other."""
    random = np.random.default_rng(0)
    for _ in range(20):
        first, second = random.random((2, 57)) < random.random((2, 1)) * 0.8 + 0.1
        chance = np.mean([[a == b for a in first] for b in second])
        expected = (np.mean(first == second) - chance) / (1 - chance)
        assert cohen_kappa(first, second) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("same", [[], [True], [True] * 5, [False] * 5])
def test_kappa_is_not_defined_where_nobody_ever_differs(same: list[bool]) -> None:
    assert math.isnan(cohen_kappa(same, same))


def test_kappa_needs_as_many_answers() -> None:
    with pytest.raises(ValueError, match="against"):
        cohen_kappa([True], [True, False])


def test_progress_agreement_and_conflicts(answer_all, candidates, store) -> None:
    answer_all("ann", "yynnyy")
    answer_all("bo", "ynnyy")
    table = collect_verdicts(store.read_table(), candidates.images)
    assert list(table.columns) == ["ann", "bo"]
    assert table["ann"].tolist() == [True, True, False, False, True, True]
    assert table["bo"].tolist()[:5] == [True, False, False, True, True] and table["bo"].isna().tolist()[5]
    (agreement,) = compare_annotators(table)
    assert (agreement.first, agreement.second, agreement.both, agreement.agree) == ("ann", "bo", 5, 3)
    assert agreement.kappa == pytest.approx((3 / 5 - 13 / 25) / (1 - 13 / 25))
    assert list_conflicts(table).to_dict("records") == [
        {"group_id": "890-430", "image": "b.png", "accepted_by": "ann", "rejected_by": "bo"},
        {"group_id": "890-430", "image": "more/d.jpg", "accepted_by": "bo", "rejected_by": "ann"},
    ]


def test_answers_to_other_groups_do_not_count(answer_all, candidates, store) -> None:
    answer_all("ann", "yyyyyy")
    table = collect_verdicts(store.read_table(), candidates.images[4:])
    assert len(table) == 2 and table["ann"].all()


def test_what_becomes_of_each_image(answer_all, candidates, store) -> None:
    answer_all("ann", "yynny")
    answer_all("bo", "ynyny")
    answer_all("cy", "nny")
    table = collect_verdicts(store.read_table(), candidates.images)
    two = ("ann", "bo")
    assert decide_states(table, two).tolist() == ["accepted", "conflict", "conflict", "rejected", "accepted", "open"]
    resolved = ["accepted", "rejected", "accepted", "rejected", "accepted", "open"]
    assert decide_states(table, two, "CY").tolist() == resolved
    assert decide_states(table, ("bo", "cy")).tolist() == ["conflict", "rejected", "accepted", "open", "open", "open"]


def test_who_counts() -> None:
    assert choose_annotators(["ann", "bo"], [], None) == ("ann", "bo")
    assert choose_annotators(["ann", "bo", "cy"], [], "CY") == ("ann", "bo")
    assert choose_annotators(["ann", "bo", "cy"], ["CY", "ann"], None) == ("cy", "ann")


@pytest.mark.parametrize(
    ("present", "named", "resolver", "message"),
    [
        (["ann"], [], None, "verified by two"),
        (["ann", "bo", "cy"], [], None, "not by ann, bo, cy; name two"),
        (["ann", "bo"], ["ann"], None, "verified by two"),
        (["ann", "bo"], ["ann", "Ann"], None, "verified by two"),
        (["ann", "bo"], ["ann", "boo"], None, 'did you mean "bo"'),
        (["ann", "bo"], [], "bo", "verified by two"),
        (["ann", "bo"], ["ann", "bo"], "bo", "third person"),
        ([], [], None, "nobody has answered"),
        ([], ["ann"], None, "nobody has answered"),
    ],
)
def test_who_cannot_count(present, named, resolver, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_annotators(present, named, resolver)


def test_two_spellings_of_one_name_are_no_two_annotators() -> None:
    with pytest.raises(UserError, match="verified by two annotators, not by Éve, Éve"):
        choose_annotators(["Éve", "bo"], ["éve", "E\u0301VE"], None)
    with pytest.raises(UserError, match="is one of the two"):
        choose_annotators(["Éve", "bo"], ["éve", "BO"], "ÉVE")
    assert choose_annotators(["Éve", "bo", "cy"], ["e\u0301ve", "BO"], "Cy") == ("Éve", "bo")
