"""Shares, and means of shares of which some are not defined."""

from __future__ import annotations

import math

import numpy as np


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part of whole, elementwise; NaN where the whole is nought."""
    shares = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def mean_of_defined(rates: np.ndarray) -> float:
    """Mean of the rates that are defined; NaN where none is."""
    defined = rates[~np.isnan(rates)]
    return float(np.mean(defined)) if len(defined) else math.nan


def weighted_mean(rates: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over groups by multiplicity, leaving out undefined rates, (replicates,)."""
    weights = np.where(np.isnan(rates), 0, weights)
    return ratio((np.nan_to_num(rates) * weights).sum(1), weights.sum(1))
