"""The number by which editors are ranked, and the ranks that the data allow.

An edit that generalises more disturbs more: SR, GR and LR of one setting put no two editors in order that sit at
different places of the trade. The number is therefore of the whole sweep: the area of the part of the (GR, LR) square
that the sweep *dominates*, all points that are no better than one of its settings on either axis. It is the
hypervolume of multi-objective search (Zitzler and Thiele 1999) with the reference point (0, 0). docs/ranking.md says
why it is this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard.records.record import ROUNDING, Record
from leaderboard.records.sections import Score
from leaderboard.scores import curves
from leaderboard.scores.paired import Resampled
from leaderboard.scores.resampling import LEVEL, NO_WIDTH
from leaderboard.scores.summary import with_interval

LEAST_SUCCESS = 0.95  # SR of a setting that counts


@dataclass(frozen=True)
class Ranked:
    """An editor in the ranking.

    line: its settings, as in a GR-LR plot. counted: the number of them with an SR of `LEAST_SUCCESS` or more.
    area: the ranking number, a share of the square; its value is None where nobody knows a GR or LR.
    replicates: the area under each set of bootstrap weights, (replicates,). ranks: the best and the worst rank that
    the data allow, from 1; None without an area.
    """

    line: curves.Line
    counted: int
    area: Score
    replicates: np.ndarray
    ranks: tuple[int, int] | None

    def minus(self, other: Ranked) -> Score:
        """The difference of both areas, with its paired 95 % interval."""
        mine, its = (np.nan if ranked.area.value is None else ranked.area.value for ranked in (self, other))
        return with_interval(mine - its, self.replicates - other.replicates)


def dominated_area(sr: np.ndarray, gr: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """Area under the staircase through settings with enough success, from the origin: (..., settings) to (...).

    It is 0 where no setting succeeds often enough, and NaN where one that does has no GR or LR.

    >>> round(float(dominated_area(np.array([1, 1, 0.9]), np.array([0.8, 0.5, 1]), np.array([0.5, 0.9, 1]))), 3)
    0.6
    """
    counted = sr >= LEAST_SUCCESS - ROUNDING
    gr, lr = np.where(counted, gr, 0.0), np.where(counted, lr, 0.0)
    order = np.argsort(-gr, axis=-1)
    gr = np.take_along_axis(gr, order, -1)
    heights = np.maximum.accumulate(np.take_along_axis(lr, order, -1), axis=-1)
    widths = -np.diff(gr, append=0.0, axis=-1)
    area: np.ndarray = (widths * heights).sum(-1)
    return area


def rank_ranges(values: np.ndarray, replicates: np.ndarray) -> list[tuple[int, int]]:
    """The best and the worst rank, from 1, of each of n values (n,) with replicates (n, replicates).

    One is ahead of another if their paired difference is larger than chance makes any difference of two that are
    alike, at 95 % for all pairs at once: all ranges together hold the true ranks. (With an interval for each pair
    alone, one in twenty of the pairs that are alike would be put in order.) The best rank of a value is behind all
    that are ahead of it, the worst before all that it is ahead of; a tie is a range that both share. The statistic is
    the largest standardised difference (Romano and Wolf 2005), as in Mogstad, Romano, Shaikh and Wilhelm (2024),
    "Inference for ranks".
    """
    defined = replicates[:, np.isfinite(replicates).all(0)]
    gaps = values[:, None] - values
    deviations = np.abs(defined[:, None] - defined - gaps[..., None])
    spread = np.sqrt((deviations**2).mean(-1))
    varies = spread > NO_WIDTH
    largest = (deviations[varies] / spread[varies][:, None]).max(0) if varies.any() else np.zeros(1)
    ahead = gaps > np.maximum(np.percentile(largest, 100 * LEVEL) * spread, NO_WIDTH)
    return [(1 + int(ahead[:, n].sum()), len(values) - int(ahead[n].sum())) for n in range(len(values))]


def rank(records: Sequence[Record], resampled: Sequence[Resampled]) -> list[Ranked]:
    """Editors by their areas, the largest first, those without one last.

    `resampled` are the runs of `records`, resampled together. An editor is a line over its knob, as in a GR-LR plot,
    but nothing is pooled: each seed, trained state and code is an entry of its own. Whether a setting succeeds often
    enough is asked again in each replicate.
    """
    by_key = dict(zip((record.key for record in records), resampled, strict=True))
    lines, areas, spreads, counts = curves.lines(records, pooled=False), [], [], []
    for line in lines:
        settings = [by_key[record.key] for run in line.runs for record in run]
        axes = ("sr", "gr", "lr")
        sr, gr, lr = (np.array([setting.values[name] for setting in settings]) for name in axes)
        areas.append(float(dominated_area(sr, gr, lr)))
        spreads.append(dominated_area(*(np.stack([each.replicates[name] for each in settings], -1) for name in axes)))
        counts.append(int((sr >= LEAST_SUCCESS - ROUNDING).sum()))
    values, replicates = np.array(areas), np.stack(spreads)
    known = np.isfinite(values)
    ranks = dict(zip(np.flatnonzero(known), rank_ranges(values[known], replicates[known]), strict=True))
    return [
        Ranked(lines[n], counts[n], with_interval(areas[n], replicates[n]), replicates[n], ranks.get(n))
        for n in np.argsort(-values, kind="stable")  # NaN comes last
    ]
