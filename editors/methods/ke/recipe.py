"""All settings of the training of KE's network in one frozen record; a checkpoint carries the one that made it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.errors import UserError
from editors.training.recipe import TrainingRecipe


@dataclass(frozen=True)
class KERecipe(TrainingRecipe):
    """Settings of the training of KE's network.

    "The article" is De Cao et al. (2021), "its code" what they released with it, "the paper" the benchmark's.
    """

    top_k: int = 5
    """Classes of the base's top k, without its prediction, from which an edit's target is drawn."""
    # paper, B.2, without a k; five, by which ImageNet is commonly judged
    crop_scale: float = 0.25
    """Least area share of the random crops that an edit is made from and judged on."""
    # for the article's paraphrases; a quarter, as the released code of the paper crops for its pseudo-samples
    others: int = 3
    """Unrelated images of the batch that each edit is to leave alone (its code: one of four is edited)."""
    condition: int = 1024
    """Width of the layer that all matrices share (its code)."""
    hidden: int = 128
    """Width of each matrix's own layer; most of the network's size (its code)."""
    margin: float = 0.1
    """KL on the unrelated images that costs nothing (article, section 4)."""
    # fixed, where its code lowers it by steps once most held-out edits succeed
    alpha_lr: float = 0.1
    """Step size of the gradient ascent on that KL's weight alpha, from 1, never below 0 (article, section 4)."""
    lr: float = 1e-5
    """Adam's learning rate at its highest (paper, B.2; its code takes RMSProp)."""
    warmup: int = 1_000
    """Iterations over which the learning rate rises; from there it falls to zero at the last one (its code)."""
    batch: int = 4
    """Editing samples in each iteration (its code)."""
    iterations: int = 200_000
    """Optimiser steps (its code)."""

    def __post_init__(self) -> None:
        self._at_least(top_k=2, others=1, condition=1, hidden=1, warmup=0, batch=2, iterations=1)
        self._above_zero("crop_scale", "margin", "alpha_lr", "lr")
        if self.crop_scale > 1:
            raise UserError(f"--crop-scale must be 1 or less, not {self.crop_scale}")
        if self.warmup > self.iterations:
            raise UserError(f"--warmup must be at most --iterations ({self.iterations}), not {self.warmup}")
        if self.others >= self.batch:
            raise UserError(
                f"--others {self.others} are taken from the batch; --batch must be {self.others + 1} or more"
            )

    def learning_rate(self, iteration: int) -> float:
        """Adam's at this iteration, counted from 0: a linear rise over `warmup`, then a linear fall to zero at the end.

        torch's own schedulers keep state of their own, which a resumed run would have to keep as well.
        """
        if iteration < self.warmup:
            return self.lr * iteration / self.warmup
        return self.lr * max(0, self.iterations - iteration) / max(1, self.iterations - self.warmup)
