"""Answers of edited models image by image, from a run's outcomes: what its edits fixed, broke and missed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.data.scored import EDIT, TAKEN
from leaderboard.records.columns import PREDICTIONS
from leaderboard.records.outcomes import Outcomes, taken_images
from leaderboard.scores import metrics

PICTURED = 12  # images of a page that an editor fixed, broke or missed
OF_A_KIND = 2  # of them at most of one group, or of one class
NOT_JUDGED = -2  # in place of an answer; no class, and not that there was none
COUNTS = ["edits", "right", "wrong", "times"]


@dataclass(frozen=True)
class Answers:
    """One run, image by image and group by group.

    images: a row for each row of `Outcomes.samples`: `edits` by which it was judged, the edit of the image itself left
        out; `right` of them that got it right; `wrong`, the commonest wrong answer (-1 where there is none), and the
        `times` that it was given.
    groups: a row for each group that was edited: `group_id`, `edits`, `sr` and `gr` as shares, NaN where there is none.
    """

    images: pd.DataFrame
    groups: pd.DataFrame


def read_answers(outcomes: Outcomes) -> Answers:
    """The answers of a run's edited models, counted for each image and each group."""
    samples = outcomes.samples
    labels = samples["label"].to_numpy()
    images = pd.DataFrame(np.zeros((len(samples), len(COUNTS)), int), columns=COUNTS).assign(wrong=-1)
    group_ids, splits = samples["group_id"].to_numpy(), samples["split"].to_numpy()
    hits = metrics.compute_hits(outcomes)
    rates = metrics.generalisation_rates(hits)
    for group, (group_id, edits) in zip(hits.groups, outcomes.edits.groupby("group_id", sort=False), strict=True):
        rows = np.flatnonzero((splits == EDIT) & (group_ids == group_id))
        _count(images, rows, np.stack(edits["group_predictions"].to_list()), labels[rows], group.others)
    for split, column in PREDICTIONS.items():
        if split == EDIT or column not in outcomes.edits:
            continue
        rows = np.flatnonzero(splits == split)
        counted = taken_images(outcomes) if split == TAKEN else np.ones((len(outcomes.edits), len(rows)), bool)
        predictions = np.full(counted.shape, NOT_JUDGED)
        predictions[counted] = np.concatenate(outcomes.edits[column].to_list())
        _count(images, rows, predictions, labels[rows], counted)
    groups = [
        {"group_id": group.id, "edits": len(group.own), "sr": float(group.success.mean()), "gr": rates[group.id]}
        for group in hits.groups
    ]
    return Answers(images, pd.DataFrame(groups))


def _count(
    images: pd.DataFrame, rows: np.ndarray, answers: np.ndarray, labels: np.ndarray, counted: np.ndarray
) -> None:
    """Add counts of `answers` (edits, rows), as far as they are `counted`, to these rows of a table."""
    is_right = (answers == labels) & counted
    is_wrong = counted & ~is_right
    counts = images.loc[rows, COUNTS].to_numpy()
    counts[:, 0], counts[:, 1] = counted.sum(0), is_right.sum(0)
    for column in np.flatnonzero(is_wrong.any(0)):
        values, times = np.unique(answers[is_wrong[:, column], column], return_counts=True)
        counts[column, 2:] = values[times.argmax()], times.max()
    images.loc[rows, COUNTS] = counts


def pick(samples: pd.DataFrame, images: pd.DataFrame) -> dict[str, list[int]]:
    """Rows of the images that a run's page shows, by what its edits did to them."""
    return {
        "Fixed": pick_fixed(samples, images),
        "Broke": pick_broken(samples, images),
        "Missed": pick_missed(samples, images),
    }


def pick_fixed(samples: pd.DataFrame, images: pd.DataFrame) -> list[int]:
    """Rows of editing samples that most edits of their group made right, the surest first."""
    shares = images["right"] / images["edits"]
    return _spread(shares[(samples["split"] == EDIT) & (images["right"] > 0)], samples["group_id"], PICTURED)


def pick_missed(samples: pd.DataFrame, images: pd.DataFrame) -> list[int]:
    """Rows of editing samples that most edits of their group left wrong, the surest first."""
    shares = 1 - images["right"] / images["edits"]
    return _spread(shares[(samples["split"] == EDIT) & (shares > 0)], samples["group_id"], PICTURED)


def pick_broken(samples: pd.DataFrame, images: pd.DataFrame) -> list[int]:
    """Rows of images outside the groups that the base gets right and most edits lost, the surest first."""
    shares = 1 - images["right"] / images["edits"]
    was_right = (samples["split"] != EDIT) & (samples["base"] == samples["label"])
    return _spread(shares[was_right & (shares > 0)], samples["label"], PICTURED)


def _spread(shares: pd.Series, kinds: Sequence[Hashable] | pd.Series, most: int) -> list[int]:
    """The rows of the largest shares, at most `OF_A_KIND` of a kind and `most` in all."""
    rows = pd.DataFrame({"share": shares, "kind": pd.Series(kinds).loc[shares.index]})
    rows = rows.sort_values("share", ascending=False, kind="stable").groupby("kind", sort=False).head(OF_A_KIND)
    return [int(row) for row in rows.index[:most]]
