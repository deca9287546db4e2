"""The overhead of a run is what its parts leave of the whole."""

from __future__ import annotations

import pytest

from leaderboard.measures.overhead import Overhead, measure_overhead


def test_the_share_is_what_models_and_decoding_leave() -> None:
    assert Overhead(4, "cpu", total=10.0, editing=3.0, judging=5.0, decoding=1.0).share == pytest.approx(0.1)


def test_the_parts_of_a_run_are_within_the_whole() -> None:
    measured = measure_overhead(edits=4)
    assert measured.edits == 4 and 0 < measured.share < 1
    assert min(measured.editing, measured.judging, measured.decoding) > 0
