"""Edits that merely exchange two classes: their effect on locality images of the class that the base predicted.

The base predicts z for an editing sample of class y. An edit that moves the border between y and z as a whole
corrects the whole group, and loses every image of class z; LR hardly sees that, since D_l holds few images of z.
Not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leaderboard.records.outcomes import Outcomes


@dataclass(frozen=True)
class Swaps:
    """Accuracy of the edited models on D_l, apart for images of the class z that the base predicted, and for the rest.

    images: pairs of an edit and an image of its z. exchanged: of the images that are lost, the share predicted
    as y, the class of the editing sample. NaN where there is nothing to count.
    """

    images: int
    of_z: float
    of_others: float
    exchanged: float


def count_swaps(outcomes: Outcomes) -> Swaps:
    """Counted over all edits and images at once; failed edits (their predictions are -1) count as wrong."""
    split = outcomes.samples["split"]
    edit_samples, locality_samples = (
        outcomes.samples[split == name].reset_index(drop=True) for name in ("edit", "locality")
    )
    rows = outcomes.edits["sample"].to_numpy()
    predicted = np.stack(outcomes.edits["locality_predictions"].to_list())
    labels = locality_samples["label"].to_numpy()
    is_z = labels == edit_samples["base"].to_numpy()[rows][:, None]
    right = predicted == labels
    predicted_y = predicted == edit_samples["label"].to_numpy()[rows][:, None]
    return Swaps(int(is_z.sum()), _mean(right[is_z]), _mean(right[~is_z]), _mean(predicted_y[~right]))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
