"""Every choice of training KE's network in one frozen record; a checkpoint carries the one that made it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.errors import UserError
from editors.training.recipe import Choices


@dataclass(frozen=True)
class Recipe(Choices):
    """How KE's network is trained. "Article" is De Cao et al. (2021), "its code" what they released with it.

    Editing samples
        top_k: the wanted class is drawn from the base's top k without its prediction (paper, B.2, which does not
            give k; five, by which ImageNet is commonly judged).
        crop_scale: least area share of the two random crops x and x' (for the article's paraphrases; a quarter, as
            the released code of the paper crops for its pseudo-samples).
        others: unrelated images that each edit is to leave alone (its code: batches of four, one of them edited).
    Network (its code)
        condition, hidden: widths of the shared layer and of each matrix's own.
    Loss (article, section 4, its constraint as a Lagrangian)
        margin: KL that is let pass; fixed, where its code lowers it by steps once most held-out edits succeed.
        alpha_lr: of the gradient ascent on the multiplier alpha, which starts at 1 and is kept at 0 or above.
    Optimiser
        lr: Adam's (paper, B.2); its code takes RMSProp.
        warmup: iterations over which the learning rate rises to `lr`, to fall to zero at the last one (its code).
        batch, iterations: editing samples a step, and steps (its code: 200,000).
    """

    top_k: int = 5
    crop_scale: float = 0.25
    others: int = 3
    condition: int = 1024
    hidden: int = 128
    margin: float = 0.1
    alpha_lr: float = 0.1
    lr: float = 1e-5
    warmup: int = 1_000
    batch: int = 4
    iterations: int = 200_000

    def __post_init__(self) -> None:
        self._at_least(top_k=2, others=1, condition=1, hidden=1, warmup=0, batch=2, iterations=1)
        self._above_zero("crop_scale", "margin", "alpha_lr", "lr")
        if self.crop_scale > 1:
            raise UserError("--crop-scale is a share of the area, 1 at most")
        if self.warmup > self.iterations:
            raise UserError(f"--warmup {self.warmup} is longer than the {self.iterations} iterations")
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
