"""Sets of images that edits are judged on, a page each: the groups, then what must stay as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.data.scored import EDIT, FAR, LOCALITY, TAKEN
from benchmark.labels.imagenet import names

OTHERS = {  # what must stay as it is: its score, its title, and a sentence
    LOCALITY: ("lr", "Near-boundary images", "Images that the base gets right with a small margin; LR is of them."),
    TAKEN: (
        "lr_taken",
        "Images of the classes taken from",
        "Images of the classes that the base wrongly predicts in the groups; an edit is judged on those of the class "
        "that it takes its sample from.",
    ),
    FAR: ("lr_far", "Images far from the boundary", "A random draw of what the base gets right, whatever its margin."),
}


@dataclass(frozen=True)
class ImageSet:
    """Images with a page of their own.

    page: the name of that page, without suffix.
    title: of the page.
    about: a sentence on what they are.
    rows: among `Outcomes.samples`.
    group_id: of a failure group; None for any other.
    score: the name of the score that is of these images; "gr" of a failure group.
    """

    page: str
    title: str
    about: str
    rows: list[int]
    group_id: str | None = None
    score: str = "gr"


def list_sets(samples: pd.DataFrame, base: str) -> list[ImageSet]:
    """The groups in the data's order, then the other splits; `base` is the name of the edited model."""
    sets: list[ImageSet] = []
    edited = samples[samples["split"] == EDIT]
    for group_id, images in edited.groupby("group_id", sort=False):
        title = str(images["group"].iloc[0] or group_id)
        page = f"{len(sets) + 1:02d}-{_letters(str(group_id))}"
        sets.append(ImageSet(page, title, _describe(images, base), [int(row) for row in images.index], str(group_id)))
    for split, (score, title, about) in OTHERS.items():
        if rows := np.flatnonzero((samples["split"] == split).to_numpy()).tolist():
            sets.append(ImageSet(split.replace("_", "-"), title, about, rows, score=score))
    return sets


def _describe(images: pd.DataFrame, base: str) -> str:
    labels, answers = images["label"].value_counts(), images["base"].value_counts()
    what = f"of {names()[labels.index[0]]}" if len(labels) == 1 else f"of {len(labels)} classes"
    said = names()[answers.index[0]]
    called = f"all called {said}" if len(answers) == 1 else f"most often called {said} ({answers.iloc[0]:,} times)"
    return f"{len(images):,} images {what} that {base} gets wrong, {called}."


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
