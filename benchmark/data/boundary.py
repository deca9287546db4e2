"""The rule by which D_l was chosen: its images lie near the decision boundary of a base (paper, 5.1; SPEC, 2).

The released D_l has no labels and states no hash of the weights that chose it, so its rule is the only witness of
whether weights that are called so are the ones that chose it.
"""

from __future__ import annotations

import numpy as np

MARGIN = 0.05  # p(top-1) - p(top-2) is below it
WITHIN = 0.95  # least share of images whose margin is; another decoder moves those that lie close to the rule
TORN = 0.1  # least median of p(top-1): a model that is torn between classes, and not one that knows none


def passes_rule(probabilities: np.ndarray, margins: np.ndarray) -> bool:
    """Return whether a base with these top-1 probabilities (n,) and margins (n,) can have chosen the images.

    Other trained weights have wide margins on most images; random ones have small margins everywhere, since they
    spread their probability over all classes.
    """
    return bool(len(margins) and np.mean(margins < MARGIN) >= WITHIN and np.median(probabilities) >= TORN)
