"""All settings of MEND's training in one frozen record; a checkpoint carries the recipe that made it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.errors import UserError
from editors.training.recipe import TrainingRecipe


@dataclass(frozen=True)
class MENDRecipe(TrainingRecipe):
    """Settings of the training of MEND's editor network.

    "MEND" is the article "Fast Model Editing at Scale" (Mitchell et al., 2022), "its code" what was released with it,
    "the paper" the benchmark's (B.2, SPEC 5).
    """

    top_k: int = 10
    """Classes of the base's top k, without its prediction, from which an edit's target is drawn."""
    # the paper names no k; ten are classes that the image resembles, as a failure's right class usually is
    crop_scale: float = 0.25
    """Least area share of the random crops that an edit is judged on, of its own image and of unrelated ones."""
    # No source. Of crops a base is less sure than of its own training images as they are, so that keeping them is a
    # task; the share is that of the hypernetwork's training.
    locality: int = 1
    """Unrelated training images a sample, whose predictions the edit should keep (its code)."""
    edit_weight: float = 0.1
    """Weight of the cross-entropy of the other view under the edit (MEND, section 3.2: c_edit)."""
    locality_weight: float = 1.0
    """Weight of KL(base || edited) on the unrelated images (MEND, section 3.2)."""
    rank: int = 1920
    """Rank of the network's layers, at most their width; the checkpoint's size goes with it (MEND, B.1)."""
    step_size: float = 1e-4
    """Step size of every matrix at the start; it is trained too (its code)."""
    lr: float = 1e-5
    """Adam's learning rate of the network (paper, B.2; MEND has 1e-6)."""
    step_lr: float = 1e-4
    """Adam's learning rate of the step sizes (its code)."""
    clip: float = 100.0
    """Largest norm of the gradient of all that is trained; a larger one is scaled down to it (its code)."""
    batch: int = 10
    """Editing samples in each iteration (its code accumulates ten)."""
    iterations: int = 20_000
    """Optimiser steps; the paper gives none, and its code stops early, on validation data."""

    def __post_init__(self) -> None:
        self._at_least(top_k=2, locality=1, rank=1, batch=1, iterations=1)
        self._above_zero("lr", "step_lr", "clip", "edit_weight")
        if not 0 < self.crop_scale <= 1:
            raise UserError(f"--crop-scale must be above 0 and at most 1, not {self.crop_scale}")
