"""Answers image by image, against counts that are made one edit after the other."""

from __future__ import annotations

from collections import Counter

import pytest

from leaderboard.board.answers import OF_A_KIND, pick_broken, pick_fixed, pick_missed, read_answers
from leaderboard.records import outcomes
from leaderboard.records.outcomes import Outcomes
from tests.leaderboard.board.conftest import Runs


@pytest.fixture(scope="module")
def run(runs: Runs) -> Outcomes:
    return outcomes.read(runs[0][0].parent)


def test_counts_are_those_of_the_edits(run: Outcomes) -> None:
    samples, counts = run.samples, read_answers(run).images
    given: dict[int, list[int]] = {row: [] for row in samples.index}
    for edit in run.edits.itertuples():
        members = samples.index[(samples["split"] == "edit") & (samples["group_id"] == edit.group_id)]
        for row, answer in zip(members, edit.group_predictions, strict=True):
            if row not in (edit.sample, *edit.partners):
                given[row].append(answer)
        taken = (samples["split"] == "locality_taken") & (samples["label"] == samples["base"][edit.sample])
        kept = {"locality": samples["split"] == "locality", "far": samples["split"] == "locality_far", "taken": taken}
        for name, is_judged in kept.items():
            answers = getattr(edit, f"{name}_predictions", ())
            for row, answer in zip(samples.index[is_judged if len(answers) else []], answers, strict=True):
                given[row].append(answer)
    for row, counted in counts.iterrows():
        label = samples["label"][row]
        wrong = Counter(answer for answer in given[row] if answer != label)
        assert counted["edits"] == len(given[row]) and counted["right"] == given[row].count(label)
        assert counted["times"] == max(wrong.values(), default=0)
        assert wrong[counted["wrong"]] == counted["times"] if wrong else counted["wrong"] == -1


def test_picks_are_what_they_are_called_and_of_many_kinds(run: Outcomes) -> None:
    samples, images = run.samples, read_answers(run).images
    fixed, missed, broken = (pick(samples, images) for pick in (pick_fixed, pick_missed, pick_broken))
    assert fixed and missed and broken
    assert all(samples["base"][row] != samples["label"][row] and images["right"][row] for row in fixed)
    assert all(samples["split"][row] == "edit" and images["right"][row] < images["edits"][row] for row in missed)
    assert all(samples["base"][row] == samples["label"][row] and images["wrong"][row] >= 0 for row in broken)
    assert max(Counter(samples["group_id"][fixed]).values()) <= OF_A_KIND
    shares = [images["right"][row] / images["edits"][row] for row in fixed]
    assert shares == sorted(shares, reverse=True)
