"""The further images that must not change: of the class that an edit takes from, and far from the boundary.

D_l holds few images of any one class, so LR hardly sees an edit that loses a whole class. ``lr_taken`` is of images of
the class z that the base took the edit's sample for, ``lr_far`` of a random draw of what the base gets right. Not in
the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.data.scored import FAR, TAKEN
from benchmark.labels.columns import UNKNOWN
from leaderboard.records.columns import PREDICTIONS
from leaderboard.records.outcomes import Outcomes, taken_images
from leaderboard.scores.shares import ratio, weighted_mean

KEPT = {"lr_taken": TAKEN, "lr_far": FAR}  # from scores to the splits whose images must stay right


@dataclass(frozen=True)
class KeptImages:
    """Images that the base gets right and an edit can lose: those that each edited model still gets right.

    is_judged: (edits, n) bool, true for images that an edit was judged on. right: (edits, n) bool, false elsewhere.
    drawings: code of each image's drawing, (n,) from 0.
    """

    is_judged: np.ndarray
    right: np.ndarray
    drawings: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """Share of its images that each edit leaves right, (edits,); NaN where it was judged on none."""
        return ratio(self.right.sum(1), self.is_judged.sum(1))

    def replicate(self, edits: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Mean of the rates under each replicate's weights of edits (replicates, edits) and images (replicates, n)."""
        right, whole = (images @ matrix.T.astype(np.float64) for matrix in (self.right, self.is_judged))
        return weighted_mean(ratio(right, whole), edits)


def compute_kept(outcomes: Outcomes) -> dict[str, KeptImages]:
    """The further images by score, as far as the data set has them; edits in the order of the table."""
    kept = {}
    for score, split in KEPT.items():
        if PREDICTIONS[split] not in outcomes.edits:
            continue
        images = outcomes.samples[outcomes.samples["split"] == split]
        is_judged = taken_images(outcomes) if split == TAKEN else np.ones((len(outcomes.edits), len(images)), bool)
        predicted = np.full(is_judged.shape, UNKNOWN)
        predicted[is_judged] = np.concatenate(outcomes.edits[PREDICTIONS[split]].to_list())
        right = is_judged & (predicted == images["label"].to_numpy())
        kept[score] = KeptImages(is_judged, right, pd.factorize(images["drawing"])[0])
    return kept
