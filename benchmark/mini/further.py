"""The further images of an embedded set that must not change: `locality_taken` and `locality_far`.

They came after the other splits, which they leave as they are: their drawings are of families that no other split has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmark.core.errors import UserError
from benchmark.data.scored import EDIT, FAR, TAKEN
from benchmark.mini.art import Art, Plan, predict_views

if TYPE_CHECKING:
    import pandas as pd


APART = (EDIT, "dev_edit", "locality", "dev_locality", "train")  # splits that share no family with these
SURE = 1e-4  # least margin: far from what rounding could change
PILOT = 6  # views of each free drawing, which tell which of them the base gets right at all
ONE_IN = 3  # families of a class that edits take from: so many of those that it gets right go to `locality_far`


def make_further(art: Art, splits: Mapping[str, pd.DataFrame], plan: Plan) -> dict[str, pd.DataFrame]:
    """Make both splits beside the tables of `APART`, of which ``drawing`` and ``base_prediction`` are read.

    `locality_taken` has views of each class that the base wrongly predicts in the groups, of which it gets those right.
    Where a class has no drawing that means it (tier A), those of tier B stand for it: nothing is said of them but that
    an edit should leave them alone. `locality_far` is a random draw from what is left of tier A.
    """
    import pandas as pd

    position = {drawing.name: number for number, drawing in enumerate(art.drawings)}
    used = {art.families[position[name]] for split in APART for name in splits[split]["drawing"]}
    free = [i for i in range(len(art.drawings)) if art.families[i] not in used]
    classes = sorted({int(label) for label in splits[EDIT]["base_prediction"]})
    certain = [i for i in free if art.drawings[i].tier == "A"]
    with_certain = {art.drawings[i].label for i in certain}
    doubtful = [i for i in free if art.drawings[i].label in set(classes) - with_certain]

    pilot = pd.concat([_make_right_views(art, certain, plan, plan.seed + 4, number) for number in range(PILOT)])
    for_far = choose_families(pilot, classes, plan.seed)
    of_class = [i for i in (*certain, *doubtful) if art.drawings[i].label in classes]
    taken = _make_taken(art, [i for i in of_class if art.families[i] not in for_far], plan)

    views = pilot[~pilot["label"].isin(classes) | pilot["family"].isin(for_far)]
    if len(views) < plan.far:
        raise UserError(
            f"{plan.base} gets only {len(views)} views right of drawings that are free, fewer than {plan.far}"
        )
    order = ["label", "drawing", "source_id"]
    return {TAKEN: taken.sort_values(order), FAR: views.sample(plan.far, random_state=plan.seed).sort_values(order)}


def choose_families(views: pd.DataFrame, classes: list[int], seed: int) -> set[int]:
    """Choose, at random, one in `ONE_IN` of the families of each class with views here: they are for `locality_far`."""
    import numpy as np

    rng = np.random.default_rng(seed)
    chosen: set[int] = set()
    for label in classes:
        families = rng.permutation(sorted(views.loc[views["label"] == label, "family"].unique()))
        chosen |= set(families[: len(families) // ONE_IN].tolist())
    return chosen


def _make_taken(art: Art, chosen: list[int], plan: Plan) -> pd.DataFrame:
    """Right views of these drawings, one of each a round, until each class has enough or the rounds are over."""
    import pandas as pd

    taken = pd.DataFrame({"label": []})
    for number in range(plan.rounds):
        counts = taken["label"].value_counts()
        unfinished = [i for i in chosen if counts.get(art.drawings[i].label, 0) < plan.a_class]
        if not unfinished:
            break
        taken = pd.concat([taken, _make_right_views(art, unfinished, plan, plan.seed + 5, number)], ignore_index=True)
        taken = taken[taken.groupby("label").cumcount() < plan.a_class]
    return taken.astype({"label": int})


def _make_right_views(art: Art, chosen: list[int], plan: Plan, seed: int, number: int) -> pd.DataFrame:
    """One view of each drawing, plain and wide in turn: those that the base gets right."""
    import pandas as pd

    from benchmark.mini.packing import encode

    columns, images = art.make_views(chosen, ("plain", "wide")[number % 2], seed * 1000 + number)
    rows = [{**row, "data": encode(image, plan.quality)} for row, image in zip(columns, images, strict=True)]
    views = predict_views(pd.DataFrame(rows), plan)
    return views[(views["base_prediction"] == views["label"]) & (views["margin"] > SURE)]
