"""All settings of the training of KE's network in one frozen record; a checkpoint carries the one that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from benchmark.core.errors import UserError
from benchmark.core.ranges import Count, CountOrZero, Ge, Positive, Share
from editors.training.recipe import TopK, TrainingRecipe, Width


@dataclass(frozen=True)
class KERecipe(TrainingRecipe):
    """Settings of the training of KE's network.

    "The article" is De Cao et al. (2021), "its code" what they released with it, "the paper" the benchmark's.
    """

    KEYS: ClassVar[Mapping[str, str]] = {"kl_margin": "margin", "batch_size": "batch"}

    top_k: TopK = 5
    """Classes of the base's top k, without its prediction, from which an edit's target is drawn."""
    # paper, B.2, without a k; five, by which ImageNet is commonly judged
    crop_scale: Share = 0.25
    """Least area share of a random crop of an image."""
    # an edit is made from such crops and judged on them;
    # for the article's paraphrases; a quarter, as the released code of the paper crops for its pseudo-samples
    others: Count = 3
    """Unrelated images that each edit is to leave alone."""
    # taken from the batch (its code: one of four is edited)
    condition: Width = 1024
    """Width of the layer that all matrices share (its code)."""
    hidden: Width = 128
    """Width of each matrix's own layer; most of the network's size (its code)."""
    kl_margin: Positive = 0.1
    """KL on the unrelated images that costs nothing (article, section 4)."""
    # fixed, where its code lowers it by steps once most held-out edits succeed
    alpha_lr: Positive = 0.1
    """Step size of the gradient ascent on that KL's weight alpha, from 1, never below 0 (article, section 4)."""
    lr: Positive = 1e-5
    """Learning rate of the network."""
    # Adam's, at its highest (paper, B.2; its code takes RMSProp)
    warmup: CountOrZero = 1_000
    """Iterations over which the learning rate rises; from there it falls to zero at the last one (its code)."""
    batch_size: Annotated[int, Ge(2)] = 4
    """Images a batch."""
    # editing samples; this and the iterations are its code's
    iterations: Count = 200_000
    """Batches to train on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup > self.iterations:
            raise UserError(f"--warmup must be at most --iterations ({self.iterations}), not {self.warmup}")
        if self.others >= self.batch_size:
            raise UserError(
                f"--others {self.others} are taken from the batch; --batch-size must be {self.others + 1} or more"
            )

    def learning_rate(self, iteration: int) -> float:
        """Adam's at this iteration, counted from 0: a linear rise over `warmup`, then a linear fall to zero at the end.

        torch's own schedulers keep state of their own, which a resumed run would have to keep as well.
        """
        if iteration < self.warmup:
            return self.lr * iteration / self.warmup
        return self.lr * max(0, self.iterations - iteration) / max(1, self.iterations - self.warmup)
