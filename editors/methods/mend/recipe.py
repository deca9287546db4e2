"""Every choice of MEND's training in one frozen record; a checkpoint carries the recipe that made it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.errors import UserError
from editors.training.recipe import Choices


@dataclass(frozen=True)
class Recipe(Choices):
    """How the editor network is trained. Sources: "Fast Model Editing at Scale" (Mitchell et al., 2022; in short
    MEND), its code, and what the benchmark's paper says of it (B.2, SPEC 5).

    Editing samples
        top_k: the wanted class is drawn from the base's top k of the image, without its first. The paper names no
            k; ten are classes that the image resembles, as a failure's right class usually is.
        crop_scale: least area share of the random resized crops that are the sample's other view and the views of
            the unrelated images; of these a base is less sure than of its own training images as they are, so that
            keeping them is a task. No source for images; the share is that of the hypernetwork's training.
        locality: unrelated training images a sample, whose predictions the edit should keep. MEND's code: one.
    Loss (MEND, section 3.2: c_edit L_e + L_loc)
        edit_weight, locality_weight: of the cross-entropy of the other view under the edit, and of
            KL(base || edited) on the unrelated images.
    Network
        rank: of its two layers, at most the width of what they see (MEND, B.1).
        step_size: alpha_l of every matrix at the start (MEND's code).
    Optimiser
        lr: Adam's, of the network (the paper; MEND has 1e-6). step_lr: Adam's, of the step sizes (MEND's code).
        clip: gradients of all of them together are scaled to this norm if above it (MEND's code).
        batch, iterations: editing samples a step, and steps. MEND's code accumulates ten; it stops early on
            validation data instead of at a number, and the paper gives none.
    """

    top_k: int = 10
    crop_scale: float = 0.25
    locality: int = 1
    edit_weight: float = 0.1
    locality_weight: float = 1.0
    rank: int = 1920
    step_size: float = 1e-4
    lr: float = 1e-5
    step_lr: float = 1e-4
    clip: float = 100.0
    batch: int = 10
    iterations: int = 20_000

    def __post_init__(self) -> None:
        self._at_least(top_k=2, locality=1, rank=1, batch=1, iterations=1)
        self._above_zero("lr", "step_lr", "clip", "edit_weight")
        if not 0 < self.crop_scale <= 1:
            raise UserError("--crop-scale must be above 0, and 1 at most")
