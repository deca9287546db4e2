"""Bootstrap of failures: the one way in which groups and drawings are resampled, and intervals from replicates."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

REPLICATES = 1000
LEVEL = 0.95
NO_WIDTH = 1e-12  # replicates that are no farther apart differ by rounding


def resample_groups(
    strata: Sequence[Hashable],
    drawings: Sequence[np.ndarray],
    is_edited: Sequence[np.ndarray],
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw what varies from one sample of failures to another: groups, whole, within their stratum.

    Their spread holds that of the drawings in them already, so that drawings are resampled only where a stratum has
    one group: those that were edited and those that were not, apart, each with all its views, which are not
    independent. Of k groups k - 1 are drawn, which makes the variance that of a mean over a sample of k (Rao and Wu
    1988).

    Args:
        strata: by group, what it shares with the groups that it is drawn among.
        drawings: by group, the code of each image's drawing, (|S|,) from 0.
        is_edited: by group, true for images of a drawing that was edited, (|S|,) bool.
        rng: what draws.
        replicates: number of replicates.

    Returns:
        The weight of each group, (replicates, groups), and by group that of each image, (replicates, |S|).
    """
    groups = np.ones((replicates, len(strata)))
    for stratum in dict.fromkeys(strata):
        inside = [column for column, other in enumerate(strata) if other == stratum]
        if (count := len(inside)) > 1:
            drawn = rng.multinomial(count - 1, np.full(count, 1 / count), size=replicates)
            groups[:, inside] = drawn * count / (count - 1)
    images = []
    for stratum, codes, edited in zip(strata, drawings, is_edited, strict=True):
        weights = np.ones((replicates, codes.max() + 1))
        if strata.count(stratum) == 1:
            for members in (np.unique(codes[edited]), np.unique(codes[~edited])):
                weights[:, members] = multiplicities(len(members), rng, replicates)
        images.append(weights[:, codes])
    return groups, images


def multiplicities(count: int, rng: np.random.Generator, replicates: int) -> np.ndarray:
    """Times each of `count` things is drawn when as many are drawn, with replacement, (replicates, count)."""
    if not count:
        return np.ones((replicates, 0))
    return rng.multinomial(count, np.full(count, 1 / count), size=replicates).astype(np.float64)


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The ends of the 95 % interval of bootstrap replicates, those that are NaN left out.

    NaN if they do not differ: there was nothing to resample, or no two edits differ, and neither is certainty.
    """
    defined = values[np.isfinite(values)]
    low, high = np.percentile(defined, (50 * (1 - LEVEL), 50 * (1 + LEVEL))) if len(defined) else (np.nan, np.nan)
    return (float(low), float(high)) if high - low > NO_WIDTH else (math.nan, math.nan)
