"""All settings of MEND's training in one frozen record; a checkpoint carries the recipe that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from benchmark.core.ranges import Count, NotNegative, Positive, Share
from editors.training.recipe import TopK, TrainingRecipe, Width


@dataclass(frozen=True)
class MENDRecipe(TrainingRecipe):
    """Settings of the training of MEND's editor network.

    "MEND" is the article "Fast Model Editing at Scale" (Mitchell et al., 2022), "its code" what was released with it,
    "the paper" the benchmark's (B.2, SPEC 5).
    """

    KEYS: ClassVar[Mapping[str, str]] = {"others": "locality", "max_norm": "clip", "batch_size": "batch"}

    top_k: TopK = 10
    """Classes of the base's top k, without its prediction, from which an edit's target is drawn."""
    # the paper names no k; ten are classes that the image resembles, as a failure's right class usually is
    crop_scale: Share = 0.25
    """Least area share of a random crop of an image."""
    # No source. An edit is judged on such crops of its own image and of unrelated ones: of crops a base is less sure
    # than of its own training images as they are, so that keeping them is a task; the share is that of the
    # hypernetwork's training.
    others: Count = 1
    """Unrelated images that each edit is to leave alone."""
    # of the training images, one a sample (its code)
    edit_weight: Positive = 0.1
    """Weight of the cross-entropy of the other view under the edit (MEND, section 3.2: c_edit)."""
    locality_weight: NotNegative = 1.0
    """Weight of KL(base || edited) on the unrelated images (MEND, section 3.2)."""
    rank: Width = 1920
    """Rank of the network's layers, at most their width; the checkpoint's size goes with it (MEND, B.1)."""
    step_size: Positive = 1e-4
    """Step size of every matrix at the start; it is trained too (its code)."""
    lr: Positive = 1e-5
    """Learning rate of the network."""
    # Adam's (paper, B.2; MEND has 1e-6)
    step_lr: Positive = 1e-4
    """Adam's learning rate of the step sizes (its code)."""
    max_norm: Positive = 100.0
    """Largest norm of the gradient of all that is trained; a larger one is scaled down to it (its code)."""
    batch_size: Count = 10
    """Images a batch."""
    # editing samples (its code accumulates ten)
    iterations: Count = 20_000
    """Batches to train on."""
    # the paper gives none, and its code stops early, on validation data
