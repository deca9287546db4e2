"""The choice of the images that the mini's editors are judged on: the stated rules, as pure functions on tables.

A table of *views* has one row an image: `drawing`, `family`, `style`, `label`, `tier`, and, once both models
have predicted, `base_prediction`, `strong_prediction`, `margin`. Drawings that are nearly one picture (the
flat and the 3-D Fluent icon of one object) form a *family*; no family is in two splits of
{edit, dev_edit, locality, dev_locality, train}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from benchmark.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from benchmark.mini.emoji import Drawing

MIN_IMAGES, MIN_DRAWINGS = 8, 2  # of a pair group; two drawings, or it could be views of a single picture
NEAR = 0.02  # mean absolute difference, in 0..1, below which two small grey-backed drawings are one picture


def find_families(drawings: Sequence[Drawing], pixels: np.ndarray) -> list[int]:
    """Give each drawing a family number; `pixels` are (n, s, s, 4) uint8, straight alpha, s a multiple of 20."""
    import numpy as np

    rgba = pixels.astype(np.float32) / 255
    on_grey = rgba[..., :3] * rgba[..., 3:] + 0.5 * (1 - rgba[..., 3:])
    cell = pixels.shape[1] // 20
    small = on_grey.reshape(len(pixels), 20, cell, 20, cell, 3).mean((2, 4)).reshape(len(pixels), -1)
    family = list(range(len(drawings)))
    by_label: dict[int, list[int]] = {}
    for i, drawing in enumerate(drawings):
        by_label.setdefault(drawing.label, []).append(i)
    for members in by_label.values():
        for rank, i in enumerate(members):
            for j in members[:rank]:
                both_fluent = drawings[i].style[:6] == drawings[j].style[:6] == "fluent"
                if both_fluent or np.abs(small[i] - small[j]).mean() < NEAR:
                    old, new = family[i], family[j]
                    family = [new if f == old else f for f in family]
    return family


def select_sure(views: pd.DataFrame, groups: pd.DataFrame, membership: pd.DataFrame) -> pd.DataFrame:
    """Select the views in the groups of `mad.search` whose label is sure.

    A label is sure if the stronger model's suggestion is the drawing's own label, and the drawing means its class
    (tier A). The label known from the drawing takes the place of the paper's two human verifiers.

    Args:
        views: the mined pool, with both models' predictions.
        groups: groups.csv; columns group_id, group, distance, strong_index, base_index.
        membership: membership.csv; columns group_id, image.

    Returns:
        Rows of `views` with `group_id`, `group` and `distance` (WordNet, as mined), only of groups that are
        large enough: 8 images or more, of 2 families or more.
    """
    pairs = groups[["group_id", "group", "distance", "strong_index", "base_index"]]
    members = membership[["group_id", "image"]].merge(pairs, on="group_id").merge(views, on="image")
    expected = members[["strong_index", "base_index"]].to_numpy()
    is_same = expected == members[["strong_prediction", "base_prediction"]].to_numpy()
    if len(members) != len(membership) or not is_same.all():
        raise UserError("the search was made with another pool or other weights: run mad.search again")
    sure = members[(members["strong_index"] == members["label"]) & (members["tier"] == "A")]
    counts = sure.groupby("group_id")["family"].agg(["size", "nunique"])
    large = counts[(counts["size"] >= MIN_IMAGES) & (counts["nunique"] >= MIN_DRAWINGS)]
    return sure[sure["group_id"].isin(large.index)].drop(columns=["strong_index", "base_index"])


def choose_varied(candidates: pd.DataFrame, count: int, used_classes: Iterable[int] = ()) -> list[str]:
    """Choose `count` varied groups by rule, and return their ids: distances are spread, classes are not repeated.

    Candidates are cut into three strata of equal number by WordNet distance (near, middle, far). In each,
    groups of more drawings come first, then larger ones. The strata take turns, the far one first. A group is
    passed over if its true class is in `used_classes` or the true class of a chosen group, or if its base
    prediction is that of a chosen group.

    Raises:
        UserError: if there are too few.
    """
    table = candidates.groupby("group_id").agg(
        families=("family", "nunique"),
        size=("family", "size"),
        distance=("distance", "first"),
        strong=("label", "first"),
        base=("base_prediction", "first"),
    )
    order = table.reset_index().sort_values(["distance", "group_id"], ascending=[False, True])
    third = -(-len(order) // 3)
    by_size = {"by": ["families", "size", "group_id"], "ascending": [False, False, True]}
    strata = [order.iloc[i * third : (i + 1) * third].sort_values(**by_size) for i in range(3)]
    queues = [list(stratum.itertuples()) for stratum in strata]
    chosen: list[str] = []
    true_classes, base_predictions = set(used_classes), set()
    while any(queues) and len(chosen) < count:
        for queue in queues:
            while queue and len(chosen) < count:
                row = queue.pop(0)
                if row.strong not in true_classes and row.base not in base_predictions:
                    true_classes.add(row.strong)
                    base_predictions.add(row.base)
                    chosen.append(row.group_id)
                    break
    if len(chosen) < count:
        raise UserError(f"only {len(chosen)} of {count} groups are varied enough; make more views a drawing")
    return chosen


def choose_style_group(
    views: pd.DataFrame, styles: Sequence[str], count: int, blocked: set[int], per_class: int = 3
) -> pd.DataFrame:
    """Choose a group over many classes: views of `styles` that the base gets wrong and the stronger model right.

    One view a drawing in turn, then a second, and so on, at most `per_class` of a class, until there are
    `count`. `blocked` families are left out.
    """
    wrong = views[
        views["style"].isin(styles)
        & (views["tier"] == "A")
        & ~views["family"].isin(blocked)
        & (views["strong_prediction"] == views["label"])
        & (views["base_prediction"] != views["label"])
    ].copy()
    wrong["turn"] = wrong.groupby("drawing").cumcount()
    wrong = wrong.sort_values(["turn", "image"], kind="stable")
    wrong = wrong[wrong.groupby("label").cumcount() < per_class]
    return wrong.head(count).drop(columns="turn").sort_values(["label", "image"])


def assign_families(family_ids: Iterable[int], shares: dict[str, float], seed: int) -> dict[int, str]:
    """Assign each family to a named share, at random and in proportion."""
    import numpy as np

    ids = sorted(set(family_ids))
    random = np.random.default_rng(seed)
    names = list(shares)
    weights = np.array(list(shares.values()))
    bounds = np.round(np.cumsum(weights / weights.sum()) * len(ids)).astype(int)
    share_index = np.searchsorted(bounds, np.arange(len(ids)), side="right")
    return {ids[i]: names[k] for i, k in zip(random.permutation(len(ids)), share_index, strict=True)}
