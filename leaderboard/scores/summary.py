"""Scores and counts of outcomes, as the sections that a record has for them."""

from __future__ import annotations

import numpy as np

from leaderboard.records import outcomes
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.sections import OutcomeSection, Score
from leaderboard.scores import metrics
from leaderboard.scores.metrics import Hits
from leaderboard.scores.resampling import percentiles


def with_interval(value: float, replicates: np.ndarray) -> Score:
    """A value with the 95 % interval of its replicates; the ends are None where these do not differ."""
    low, high = percentiles(replicates)
    return Score(value=value, low=low, high=high)


def score_sections(hits: Hits) -> dict[str, Score]:
    """All scores by name (`metrics.scores`), with the 95 % intervals of those that have one (`metrics.intervals`)."""
    intervals = metrics.intervals(hits)
    return {
        name: Score(value=value, low=intervals.get(name, (None,))[0], high=intervals.get(name, (None,))[-1])
        for name, value in metrics.scores(hits).items()
    }


def outcome_section(run: Outcomes) -> OutcomeSection:
    """Counts and hash of the outcomes of all edits."""
    edits = run.edits
    return OutcomeSection(
        sha256=outcomes.digest(run),
        samples_sha256=outcomes.hash_samples(run.samples),
        edits=len(edits),
        failed=int(edits["failure"].notna().sum()),
        failures=outcomes.count_failures(run),
        median_steps=float(edits["steps"].median()),
        called=int((edits["scored"] == "called").sum()),
        judged_by_editor=int((edits["scored"] == "editor").sum()),
    )
