"""SR, GR and LR from a table of outcomes (paper, eq. 8-10), and their intervals. Pure functions.

Two figures of the authors' released code are reported beside the paper's: `gr_released` counts
(correct - 1) / |S|, which takes the edit's own success for granted and divides by one too many;
`lr_agreement` compares with the unedited model's prediction instead of the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.data.dataset import UNKNOWN
from leaderboard.records.outcomes import Outcomes

REPLICATES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class GroupOutcomes:
    """The edits of one group S: the images of the group that each edited model gets right.

    `correct` (edits, |S|) bool; `own` (edits, n) holds the columns of the n samples each edit was made on, its
    own first. n is 1 as a rule; a column may be named twice.
    """

    id: str
    subset: str
    correct: np.ndarray
    own: np.ndarray

    @property
    def success(self) -> np.ndarray:
        """True for edits that correct all their own samples, (edits,) bool."""
        right: np.ndarray = np.take_along_axis(self.correct, self.own, 1).min(1)
        return right

    @property
    def others(self) -> np.ndarray:
        """True for images that an edit did not see, (edits, |S|) bool: GR is of these."""
        unseen = np.ones_like(self.correct)
        np.put_along_axis(unseen, self.own, False, 1)
        return unseen

    @property
    def generalisation(self) -> np.ndarray:
        """Accuracy of each edited model on the group's other images (edits,); NaN where there are none."""
        return ratio((self.correct & self.others).sum(1), self.others.sum(1))

    @property
    def released(self) -> np.ndarray:
        """The released code's (correct - n) / |S| of each edited model (edits,); its n is 1."""
        rates: np.ndarray = (self.correct.sum(1) - self.own.shape[1]) / self.correct.shape[1]
        return rates


@dataclass(frozen=True)
class Hits:
    """Outcomes as matrices. `locality` and `agreement` (all edits, |D_l|) bool, edits in the groups' order.

    If D_l holds an image whose label nobody knows, `locality` is NaN throughout, and so is all that is made of it:
    an LR over some of D_l would be another quantity, while agreement needs no label.
    """

    groups: list[GroupOutcomes]
    locality: np.ndarray
    agreement: np.ndarray
    drawings: dict[str, np.ndarray]
    locality_drawings: np.ndarray


def compute_hits(outcomes: Outcomes) -> Hits:
    """Compare predictions with labels. A failed edit's predictions are all -1, so it is wrong everywhere."""
    edit = outcomes.samples[outcomes.samples["split"] == "edit"].reset_index(drop=True)
    locality_samples = outcomes.samples[outcomes.samples["split"] == "locality"]
    groups, locality, drawings = [], [], {}
    for group_id, edits in outcomes.edits.groupby("group_id", sort=False):
        members = np.flatnonzero((edit["group_id"] == group_id).to_numpy())
        predictions = np.stack(edits["group_predictions"].to_list())
        own = [[sample, *more] for sample, more in zip(edits["sample"], edits["partners"], strict=True)]
        groups.append(
            GroupOutcomes(
                str(group_id),
                str(edit["subset"].iloc[members[0]]),
                predictions == edit["label"].to_numpy()[members],
                np.searchsorted(members, own),
            )
        )
        drawings[str(group_id)] = pd.factorize(edit["drawing"].iloc[members])[0]
        locality.append(np.stack(edits["locality_predictions"].to_list()))
    stacked, labels = np.concatenate(locality), locality_samples["label"].to_numpy()
    return Hits(
        groups,
        stacked == labels if (labels != UNKNOWN).all() else np.full(stacked.shape, np.nan),
        stacked == locality_samples["base"].to_numpy(),
        drawings,
        pd.factorize(locality_samples["drawing"])[0],
    )


def success_rate(hits: Hits) -> float:
    """SR: share of all edits that make the samples they were made on right (eq. 8)."""
    return float(np.concatenate([group.success for group in hits.groups]).mean())


def generalisation_rates(hits: Hits, released: bool = False) -> dict[str, float]:
    """GR of each group (eq. 9): the mean, over its edits, of the accuracy on the group's other images."""
    return {g.id: float((g.released if released else g.generalisation).mean()) for g in hits.groups}


def mean_over_groups(hits: Hits, rates: dict[str, float], subset: str | None = None) -> float:
    """Unweighted mean of per-group rates, over all groups or one subset's; NaN where none is defined."""
    values = [rates[g.id] for g in hits.groups if subset in (None, g.subset)]
    values = [value for value in values if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")


def locality_rate(hits: Hits) -> float:
    """LR: accuracy on D_l of each edited model, averaged over all edits (eq. 10)."""
    return float(hits.locality.mean())


def locality_agreement(hits: Hits) -> float:
    """The released LR: share of D_l on which edited and unedited model agree, averaged over all edits."""
    return float(hits.agreement.mean())


def locality_over_groups(hits: Hits) -> float:
    """LR averaged within each group first, so that a large group counts no more than a small one."""
    sizes = np.cumsum([len(group.own) for group in hits.groups])[:-1]
    return float(np.mean([of_group.mean() for of_group in np.split(hits.locality, sizes)]))


def scores(hits: Hits) -> dict[str, float]:
    """All point values: ``sr``, ``gr``, ``gr_<subset>``, ``gr_released``, ``lr``, ``lr_groups``, ``lr_agreement``."""
    rates = generalisation_rates(hits)
    return {
        "sr": success_rate(hits),
        "gr": mean_over_groups(hits, rates),
        **{f"gr_{subset}": mean_over_groups(hits, rates, subset) for subset in subsets(hits)},
        "gr_released": mean_over_groups(hits, generalisation_rates(hits, released=True)),
        "lr": locality_rate(hits),
        "lr_groups": locality_over_groups(hits),
        "lr_agreement": locality_agreement(hits),
    }


def subsets(hits: Hits) -> list[str]:
    """The subsets in the order of their first group."""
    return list(dict.fromkeys(group.subset for group in hits.groups))


def intervals(hits: Hits, seed: int = 0, replicates: int = REPLICATES) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap intervals of `sr`, `gr`, `gr_<subset>`, `lr` and `lr_agreement`.

    Views of one drawing are not independent, so what is resampled is groups (within their subset) and,
    within a group and within D_l, drawings with all their views. A drawing's weight counts in both its
    roles, as the edit's own (first) sample and as a neighbour; a group drawn twice counts twice with the same
    drawings, which errs on the wide side.
    """
    rng = np.random.default_rng(seed)
    chosen = group_multiplicities([group.subset for group in hits.groups], rng, replicates)
    sampled_rates: dict[str, list[np.ndarray]] = {"sr": [], "gr": []}
    edit_weights = []
    for column, group in enumerate(hits.groups):
        codes = hits.drawings[group.id]
        weights = drawing_multiplicities(codes, rng, replicates)[:, codes]  # (replicates, |S|)
        own = weights[:, group.own[:, 0]]
        others = group.others.astype(np.float64)
        right = ((own @ (others * group.correct)) * weights).sum(1)
        seen = ((own @ others) * weights).sum(1)
        sampled_rates["gr"].append(ratio(right, seen))
        sampled_rates["sr"].append((own * group.success).sum(1))
        edit_weights.append(own * chosen[:, column, None])
    rates = np.stack(sampled_rates["gr"], 1)
    sampled = np.concatenate(edit_weights, 1)  # (replicates, edits)
    total = sampled.sum(1)
    result = {
        "sr": ratio((np.stack(sampled_rates["sr"], 1) * chosen).sum(1), total),
        "gr": _weighted_mean(rates, chosen),
    }
    for subset in subsets(hits):
        inside = np.array([group.subset == subset for group in hits.groups])
        result[f"gr_{subset}"] = _weighted_mean(rates[:, inside], chosen[:, inside])
    codes = hits.locality_drawings
    locality_weights = drawing_multiplicities(codes, rng, replicates)[:, codes]
    for name, matrix in (("lr", hits.locality), ("lr_agreement", hits.agreement)):
        result[name] = ratio(((sampled @ matrix) * locality_weights).sum(1), total * locality_weights.sum(1))
    return {name: percentiles(values) for name, values in result.items()}


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The ends of the 95 % interval of bootstrap replicates, those that are NaN left out."""
    defined = values[np.isfinite(values)]
    low, high = np.percentile(defined, (50 * (1 - LEVEL), 50 * (1 + LEVEL))) if len(defined) else (np.nan, np.nan)
    return float(low), float(high)


def group_multiplicities(subsets: Sequence[str], rng: np.random.Generator, replicates: int) -> np.ndarray:
    """Times each group is drawn, (replicates, groups), given its subset; each subset keeps its number of groups."""
    drawn = np.zeros((replicates, len(subsets)))
    for subset in dict.fromkeys(subsets):
        inside = np.flatnonzero([name == subset for name in subsets])
        drawn[:, inside] = rng.multinomial(len(inside), np.full(len(inside), 1 / len(inside)), size=replicates)
    return drawn


def drawing_multiplicities(codes: np.ndarray, rng: np.random.Generator, replicates: int) -> np.ndarray:
    """Times each drawing is drawn, (replicates, drawings); `codes` (images,) number each image's drawing."""
    count = codes.max() + 1
    return rng.multinomial(count, np.full(count, 1 / count), size=replicates).astype(np.float64)


def _weighted_mean(rates: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over groups by multiplicity, leaving out undefined rates, (replicates,)."""
    weights = np.where(np.isnan(rates), 0, weights)
    return ratio((np.nan_to_num(rates) * weights).sum(1), weights.sum(1))


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float | None:
    """Share of the predictions (n,) that are right; None if some label is unknown."""
    return float((predictions == labels).mean()) if (labels != UNKNOWN).all() else None


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part of whole, elementwise; NaN where the whole is nought."""
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
