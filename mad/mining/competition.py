"""The maximum discrepancy competition between two classifiers, as pure functions on tables.

A table of *predictions* has one row an image of an unlabelled pool:

    image                                 what the pool calls it
    base_index, strong_index              top-1 classes of the two models, 0..999
    base_probability, strong_probability  their softmax probabilities

`base` is the model whose failures are sought, `strong` the one that suggests their labels. Everything is a
table look-up or a sort: no Python loop over images, so that millions of rows are no trouble.

Source: Wang et al., "I Am Going MAD", ICLR 2020; "Learning Where to Edit Vision Transformers", section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.core.ranges import Count, Fraction, as_option, check_fields
from benchmark.data.groups import pair_id
from benchmark.labels import imagenet
from benchmark.labels.imagenet import CLASSES
from mad.mining import wordnet

CONFIDENT = 0.8  # the probability that the authors of MAD ask of both models


@dataclass(frozen=True)
class SearchConfig:
    """Options of `mad.search` that decide what counts as a failure and which failures come first."""

    distance: wordnet.Measure = "hops"
    over: wordnet.Over = "min"
    min_probability: Fraction = 0.0
    diverse: bool = False
    min_group: Count = 2

    def __post_init__(self) -> None:
        check_fields(self, as_option)


@dataclass(frozen=True)
class SearchResult:
    """Result of a competition; the tables are those of `rank`, `find_groups` and `find_members`."""

    ranking: pd.DataFrame
    groups: pd.DataFrame
    membership: pd.DataFrame
    images: int
    disagreements: int


def compete(predictions: pd.DataFrame, config: SearchConfig) -> SearchResult:
    """Rank and group by `config`. Groups are whole: `config.diverse` thins the ranking, never the groups."""
    ranking = rank(predictions, wordnet.compute_distances(config.distance, config.over), config.min_probability)
    groups = find_groups(ranking, imagenet.names(), config.min_group)
    return SearchResult(
        ranking=select_diverse(ranking) if config.diverse else ranking,
        groups=groups,
        membership=find_members(ranking, groups),
        images=len(predictions),
        disagreements=int((predictions["base_index"] != predictions["strong_index"]).sum()),
    )


def rank(predictions: pd.DataFrame, distances: np.ndarray, min_probability: float = 0.0) -> pd.DataFrame:
    """The images on which the two models disagree, the gravest disagreement first.

    Few distances are possible, so most rows tie. Ties go to the image on which the less certain of the two
    models is more certain, then to the one that comes first in the pool.

    Args:
        predictions: the table described above.
        distances: (1000, 1000), e.g. `mad.mining.wordnet.compute_distances()`.
        min_probability: what both top-1 probabilities must reach.

    Returns:
        `predictions` without agreements, in order, with `rank` (from 1) before and `distance` behind.
    """
    base, strong = predictions["base_index"].to_numpy(), predictions["strong_index"].to_numpy()
    certainty = predictions[["base_probability", "strong_probability"]].min(axis=1).to_numpy()
    rows = np.flatnonzero((base != strong) & (certainty >= min_probability))
    distance = distances[strong[rows], base[rows]]
    order = np.lexsort((-certainty[rows], -distance))  # stable, and by its last key first

    ranking = predictions.take(rows[order]).reset_index(drop=True)
    ranking.insert(0, "rank", np.arange(1, len(ranking) + 1))
    ranking["distance"] = distance[order]
    return ranking


def select_diverse(
    ranking: pd.DataFrame, min_probability: float = CONFIDENT, per_class: int = 3, per_pair: int = 1
) -> pd.DataFrame:
    """The varied head of a ranking, as the authors of MAD show it to people.

    Greedily from the top, an image is chosen when both models are confident, fewer than `per_class` chosen
    images have either of its predicted classes (by whichever model), and fewer than `per_pair` have the same
    two, in either order. Choosing only ever closes classes and pairs, so an image that is passed over
    stays passed over: only the first `per_pair` rows of each pair need be looked at, and what a closed class
    rules out is dropped at once, so that the loop is over what is chosen, never over images.

    (The released code also counts images that it passes over. Then three images of one pair, of which one is
    chosen, close both classes. Here what counts is what is retained, as their paper has it.)

    Returns:
        The chosen rows of `ranking`, in order and with their ranks.
    """
    base, strong = ranking["base_index"].to_numpy(), ranking["strong_index"].to_numpy()
    certainty = ranking[["base_probability", "strong_probability"]].min(axis=1).to_numpy()
    confident = np.flatnonzero(certainty >= min_probability)
    pairs = pd.DataFrame({"a": np.minimum(base, strong), "b": np.maximum(base, strong)}).iloc[confident]
    candidates = confident[pairs.groupby(["a", "b"]).cumcount().to_numpy() < per_pair]

    chosen, count = [], np.zeros(CLASSES, dtype=np.int64)
    while len(candidates):
        row, candidates = candidates[0], candidates[1:]
        chosen.append(row)
        classes = [base[row], strong[row]]
        count[classes] += 1
        if (count[classes] >= per_class).any():
            closed = count >= per_class
            candidates = candidates[~(closed[base[candidates]] | closed[strong[candidates]])]
    return ranking.iloc[chosen].reset_index(drop=True)


def find_groups(ranking: pd.DataFrame, names: Sequence[str], min_size: int = 1) -> pd.DataFrame:
    """The whole (strong, base) groups of a ranking, as the paper's benchmark keeps them; the largest first.

    Args:
        ranking: from `rank`.
        names: the names of the 1,000 classes.
        min_size: leave out groups of fewer images.

    Returns:
        One row a group: `group_id` ("890-430"), `group` ("volleyball-basketball": strong, base), `size`,
        `distance`, `strong_index`, `strong_class`, `base_index`, `base_class`, and the mean
        `strong_probability` and `base_probability`. Groups of one size are in order of distance, then id.
    """
    keys = _pair_keys(ranking)
    sizes = np.bincount(keys, minlength=CLASSES**2)
    pairs = np.flatnonzero(sizes >= max(1, min_size))
    distance = np.zeros(len(sizes), dtype=np.float32)
    distance[keys] = ranking["distance"]
    pairs = pairs[np.lexsort((-distance[pairs], -sizes[pairs]))]

    def mean(column: str) -> np.ndarray:
        return np.bincount(keys, weights=ranking[column], minlength=len(sizes))[pairs] / sizes[pairs]

    strong, base = np.divmod(pairs, CLASSES)
    class_names = np.asarray(names, dtype=object)
    return pd.DataFrame(
        {
            "group_id": [pair_id(s, b) for s, b in zip(strong, base, strict=True)],
            "group": [f"{s}-{b}" for s, b in zip(class_names[strong], class_names[base], strict=True)],
            "size": sizes[pairs],
            "distance": distance[pairs],
            "strong_index": strong,
            "strong_class": class_names[strong],
            "base_index": base,
            "base_class": class_names[base],
            "strong_probability": mean("strong_probability"),
            "base_probability": mean("base_probability"),
        }
    )


def find_members(ranking: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ranking` that belong to `groups`, group by group, with `group_id` before them."""
    group_of_pair = np.full(CLASSES**2, -1)
    group_of_pair[_pair_keys(groups)] = np.arange(len(groups))
    group_of_row = group_of_pair[_pair_keys(ranking)]
    chosen = np.flatnonzero(group_of_row >= 0)
    chosen = chosen[np.argsort(group_of_row[chosen], kind="stable")]
    membership = ranking.take(chosen).reset_index(drop=True)
    membership.insert(0, "group_id", groups["group_id"].to_numpy()[group_of_row[chosen]])
    return membership


def _pair_keys(table: pd.DataFrame) -> np.ndarray:
    """One number for the (strong, base) pair of each row; the numbers have the order of the pairs."""
    return table["strong_index"].to_numpy(np.int64) * CLASSES + table["base_index"].to_numpy(np.int64)
