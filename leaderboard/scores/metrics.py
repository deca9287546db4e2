"""SR, GR and LR from a table of outcomes (paper, eq. 8-10), and their intervals. Pure functions.

Two figures of the authors' released code are reported beside the paper's: `gr_released` counts
(correct - 1) / |S|, which takes the edit's own success for granted and divides by one too many;
`lr_agreement` compares with the unedited model's prediction instead of the label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np
import pandas as pd

from benchmark.labels.columns import UNKNOWN
from leaderboard.records.outcomes import Outcomes
from leaderboard.scores.kept import KeptImages, compute_kept
from leaderboard.scores.resampling import LEVEL, REPLICATES, multiplicities, percentiles, resample_groups
from leaderboard.scores.shares import mean_of_defined, ratio, weighted_mean


@dataclass(frozen=True)
class GroupOutcomes:
    """The edits of one group S: the images of the group that each edited model gets right.

    `correct` (edits, |S|) bool; `own` (edits, n) holds the columns of the n samples each edit was made on, its
    own first. n is 1 as a rule; a column may be named twice. `images` (|S|,) numbers the images by their bytes, where
    some stand twice: an edit's own twin is no other image.
    """

    id: str
    subset: str
    correct: np.ndarray
    own: np.ndarray
    images: np.ndarray | None = None

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
        if self.images is not None:
            for column in self.own.T:
                unseen &= self.images != self.images[column][:, None]
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

    `kept` has the further images that must not change, by score, as far as the data set has them.

    If D_l holds an image whose label nobody knows, `locality` is NaN throughout, and so is all that is made of it:
    an LR over some of D_l would be another quantity, while agreement needs no label.
    """

    groups: list[GroupOutcomes]
    locality: np.ndarray
    agreement: np.ndarray
    drawings: dict[str, np.ndarray]
    locality_drawings: np.ndarray
    kept: dict[str, KeptImages] = field(default_factory=dict)


def compute_hits(outcomes: Outcomes) -> Hits:
    """Compare predictions with labels. A failed edit's predictions are all -1, so it is wrong everywhere."""
    edit = outcomes.samples[outcomes.samples["split"] == "edit"].reset_index(drop=True)
    locality_samples = outcomes.samples[outcomes.samples["split"] == "locality"]
    groups, locality, drawings, ordered = [], [], {}, []
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
                pd.factorize(edit["sha256"].iloc[members])[0],
            )
        )
        drawings[str(group_id)] = pd.factorize(edit["drawing"].iloc[members])[0]
        locality.append(np.stack(edits["locality_predictions"].to_list()))
        ordered.append(edits)
    stacked, labels = np.concatenate(locality), locality_samples["label"].to_numpy()
    return Hits(
        groups,
        stacked == labels if (labels != UNKNOWN).all() else np.full(stacked.shape, np.nan),
        stacked == locality_samples["base"].to_numpy(),
        drawings,
        pd.factorize(locality_samples["drawing"])[0],
        compute_kept(replace(outcomes, edits=pd.concat(ordered))),
    )


def success_rate(hits: Hits) -> float:
    """SR: share of all edits that make the samples they were made on right (eq. 8)."""
    return float(np.concatenate([group.success for group in hits.groups]).mean())


def generalisation_rates(hits: Hits, released: bool = False) -> dict[str, float]:
    """GR of each group (eq. 9): the mean, over its edits, of the accuracy on the group's other images."""
    return {g.id: float((g.released if released else g.generalisation).mean()) for g in hits.groups}


def mean_over_groups(hits: Hits, rates: dict[str, float], subset: str | None = None) -> float:
    """Unweighted mean of per-group rates, over all groups or one subset's; NaN where none is defined."""
    return mean_of_defined(np.array([rates[g.id] for g in hits.groups if subset in (None, g.subset)]))


def locality_rate(hits: Hits) -> float:
    """LR: accuracy on D_l of each edited model, averaged over all edits (eq. 10)."""
    return float(hits.locality.mean())


def locality_agreement(hits: Hits) -> float:
    """The released LR: share of D_l on which edited and unedited model agree, averaged over all edits."""
    return float(hits.agreement.mean())


def locality_over_groups(hits: Hits, matrix: np.ndarray) -> float:
    """Mean of `matrix` (edits, |D_l|) within each group first, so that a large group counts no more than a small one.

    The released code gives its LR, an agreement, as such a number a group.
    """
    sizes = np.cumsum([len(group.own) for group in hits.groups])[:-1]
    return float(np.mean([rows.mean() for rows in np.split(matrix, sizes)]))


def scores(hits: Hits) -> dict[str, float]:
    """All point values: ``sr``, ``gr``, ``gr_<subset>``, ``gr_released``, ``lr`` and ``lr_agreement``, the last two
    also as means over groups, ``lr_groups`` and ``lr_agreement_groups``; ``lr_taken`` and ``lr_far``, means over edits,
    where the data set has images for them."""
    rates = generalisation_rates(hits)
    return {
        "sr": success_rate(hits),
        "gr": mean_over_groups(hits, rates),
        **{f"gr_{subset}": mean_over_groups(hits, rates, subset) for subset in subsets(hits)},
        "gr_released": mean_over_groups(hits, generalisation_rates(hits, released=True)),
        "lr": locality_rate(hits),
        **{name: mean_of_defined(kept.rates) for name, kept in hits.kept.items()},
        "lr_groups": locality_over_groups(hits, hits.locality),
        "lr_agreement": locality_agreement(hits),
        "lr_agreement_groups": locality_over_groups(hits, hits.agreement),
    }


def subsets(hits: Hits) -> list[str]:
    """The subsets in the order of their first group."""
    return list(dict.fromkeys(group.subset for group in hits.groups))


@dataclass(frozen=True)
class Weights:
    """The weight of each in each bootstrap replicate; the same weights for two runs make replicates of a difference.

    groups: (replicates, groups).
    images: by group, (replicates, |S|): of an image as an edit's own (first) sample and as a neighbour.
    locality: (replicates, |D_l|).
    kept: by score, (replicates, n), of the further images that must not change.
    """

    groups: np.ndarray
    images: list[np.ndarray]
    locality: np.ndarray
    kept: dict[str, np.ndarray]


def resample(hits: Hits, seed: int = 0, replicates: int = REPLICATES) -> Weights:
    """Draw failures by `resample_groups`, within their subset; groups without a GR apart. Drawings of D_l and of the
    further images that must not change vary, too."""
    rng = np.random.default_rng(seed)
    drawings = [hits.drawings[group.id] for group in hits.groups]
    groups, images = resample_groups(
        [(group.subset, not np.isnan(group.generalisation).all()) for group in hits.groups],
        drawings,
        [np.isin(codes, codes[group.own[:, 0]]) for group, codes in zip(hits.groups, drawings, strict=True)],
        rng,
        replicates,
    )

    def of_drawings(codes: np.ndarray) -> np.ndarray:
        return multiplicities(codes.max() + 1, rng, replicates)[:, codes]

    locality = of_drawings(hits.locality_drawings)
    return Weights(groups, images, locality, {name: of_drawings(kept.drawings) for name, kept in hits.kept.items()})


def replicate(hits: Hits, weights: Weights) -> dict[str, np.ndarray]:
    """`sr`, `gr`, `gr_<subset>`, `lr`, `lr_agreement` and, where they are defined, `lr_taken` and `lr_far` under each
    replicate's weights, (replicates,) each."""
    sampled_rates, successes, edit_weights = [], [], []
    for group, images, chosen in zip(hits.groups, weights.images, weights.groups.T, strict=True):
        own = images[:, group.own[:, 0]]
        others = group.others.astype(np.float64)
        right = ((own @ (others * group.correct)) * images).sum(1)
        seen = ((own @ others) * images).sum(1)
        sampled_rates.append(ratio(right, seen))
        successes.append((own * group.success).sum(1))
        edit_weights.append(own * chosen[:, None])
    rates = np.stack(sampled_rates, 1)
    sampled = np.concatenate(edit_weights, 1)  # (replicates, edits)
    total = sampled.sum(1)
    result = {
        "sr": ratio((np.stack(successes, 1) * weights.groups).sum(1), total),
        "gr": weighted_mean(rates, weights.groups),
    }
    for subset in subsets(hits):
        inside = np.array([group.subset == subset for group in hits.groups])
        result[f"gr_{subset}"] = weighted_mean(rates[:, inside], weights.groups[:, inside])
    for name, matrix in (("lr", hits.locality), ("lr_agreement", hits.agreement)):
        result[name] = ratio(((sampled @ matrix) * weights.locality).sum(1), total * weights.locality.sum(1))
    for name, kept in hits.kept.items():
        result[name] = kept.replicate(sampled, weights.kept[name])
    return result


def intervals(hits: Hits, seed: int = 0, replicates: int = REPLICATES) -> dict[str, tuple[float, float]]:
    """95 % intervals of all that `replicate` gives; NaN where there is nothing to resample.

    That of `sr` is Wilson's, since it is a share of edits, each counted as independent; the others are bootstrap
    percentiles (`resample`). `tests/leaderboard/scores/test_coverage.py` shows how often those of GR hold the truth.
    """
    replicates_of = replicate(hits, resample(hits, seed, replicates))
    success = np.concatenate([group.success for group in hits.groups])
    return {
        **{name: percentiles(values) for name, values in replicates_of.items()},
        "sr": wilson(int(success.sum()), len(success)),
    }


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, `part` of `whole`: it has a width where all or none are right."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share = part / whole
    centre = share + z * z / (2 * whole)
    half = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    low, high = ((centre + sign * half) / (1 + z * z / whole) for sign in (-1, 1))
    return max(low, 0.0) if part else 0.0, min(high, 1.0) if part < whole else 1.0


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float | None:
    """Share of the predictions (n,) that are right; None if some label is unknown."""
    return float((predictions == labels).mean()) if (labels != UNKNOWN).all() else None
