"""All settings of meta-training in one frozen record, as the paper writes it and as its released code does it.

The two differ in many places; `PRESETS` holds both, any field can be changed, and a checkpoint carries the
recipe that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from benchmark.core.errors import unknown
from benchmark.core.ranges import Count, Ge, Le, NotNegative, Positive, Share
from editors.training.recipe import Clamp, TrainingRecipe

TARGET_FIELDS = (  # the fields that m~ depends on; the others only refit
    "pseudo",
    "crop_scale",
    "grid_patches",
    "inner_steps",
    "inner_lr",
    "temperature",
    "mask_slope",
    "second_order",
    "sparsity_weight",
    "outer_steps",
    "target_lr",
    "target_optimizer",
    "precision",
)
RELEASED_BATCH = 8  # the released loss is a KL summed over 8 samples beside lambda times a mean over them


@dataclass(frozen=True)
class HypernetworkRecipe(TrainingRecipe):
    """Settings of the meta-training of a hypernetwork (paper, Algorithm 1): a published recipe and changes to it.

    The defaults below are those of the recipe that --recipe names.
    """

    KEYS: ClassVar[Mapping[str, str]] = {"recipe": "name", "batch_size": "batch"}

    recipe: Literal["released", "paper"] = "released"
    """Published recipe to start from: the released code's, or the paper's."""
    pseudo: Literal["cutmix", "pgd"] = "cutmix"
    """Method that makes pseudo-samples: CutMix, or PGD (paper, C.4)."""
    crop_scale: Share | None = 0.25
    """Least area share of a random crop of an image."""
    grid_patches: bool = True
    """Paste CutMix patches of any two sides, aligned to the patch grid; else squares of pixels."""
    inner_steps: Count = 5
    """Gradient steps T of the inner loop (Algorithm 1, lines 7-10)."""
    inner_lr: Positive = 1e-3
    """Learning rate alpha of the inner loop."""
    temperature: Positive = 5.0
    """Temperature of both sides of the KL, which is then multiplied by its square."""
    mask_slope: Positive = 10.0
    """Slope k of the mask, sigmoid(k m) (eq. 4)."""
    second_order: bool = False
    """Differentiate through the inner loop; else hold its gradients constant."""
    form: Literal["decoupled", "standard"] = "decoupled"
    """Fit the network to an m~ optimised for each sample, or send it the outer gradient itself (lines 11-19)."""
    sparsity_weight: NotNegative = 1.0
    """Weight lambda of the masks' mean, beside the summed KL of 8 samples (line 11)."""
    outer_steps: Count = 10
    """Optimiser steps on each m~, from uniform(-1, 1)."""
    target_lr: Positive = 0.1
    """Learning rate of m~."""
    target_optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    """Optimiser of m~."""
    blocks: Annotated[int, Ge(1), Le(100)] = 5
    """Attention blocks of the hypernetwork."""
    wide_mlp: bool = False
    """Make the hypernetwork's FFNs as wide as the base's; else as wide as the embedding."""
    shared_head: bool = False
    """Read all tokens of the hypernetwork by one FC layer; else by one a token."""
    score_slope: Positive = 3.0
    """Slope k by which the decoupled network's scores, and their targets, become values in (0, 1)."""
    clamp_fit: Clamp = 1e-5
    """Distance from 0 and 1 that these values keep in the fit."""
    clamp_edit: Clamp = 1e-7
    """Distance from 0 and 1 that these values keep in an edit."""
    fit_loss: Literal["bce", "kl"] = "bce"
    """Loss of the fit (line 21, eq. 12): 0.1 BCE, with the gradient of 0.1 KL(m~, m^), or KL(m^, m~)."""
    lr: Positive = 1e-4
    """Learning rate of the network."""
    steps_a_batch: Count = 4
    """RMSProp's steps on each batch (decoupled form)."""
    cosine_over: Count | None = 20_000
    """Iterations of the half cosine that the learning rate follows; None keeps it constant."""
    batch_size: Count = 8
    """Images a batch."""
    iterations: Count = 7_000
    """Batches to train on."""
    precision: Literal["float32", "tf32", "two-pass"] = "float32"
    """Precision of matrix products; with tf32 a GPU rounds their factors to 10 bits: faster, and less exact. Scores
    take float32, or two-pass: the verdicts of float32, computed in tf32 where that leaves no doubt."""

    @property
    def slope(self) -> float:
        """k of the network's own sigmoid: the standard form's output is the mask itself."""
        return self.mask_slope if self.form == "standard" else self.score_slope

    def target_fields(self) -> dict[str, Any]:
        """The fields that the bank of targets depends on."""
        return {name: getattr(self, name) for name in TARGET_FIELDS}


PRESETS = {
    "released": HypernetworkRecipe(),
    "paper": HypernetworkRecipe(
        recipe="paper",
        crop_scale=None,
        grid_patches=False,
        temperature=1.0,
        second_order=True,
        target_optimizer="adam",
        wide_mlp=True,
        shared_head=True,
        score_slope=10.0,
        fit_loss="kl",
        steps_a_batch=1,
        cosine_over=None,
    ),
}


def preset(name: str) -> HypernetworkRecipe:
    """The published recipe of this name. Raises `UserError` for another."""
    if name not in PRESETS:
        raise unknown("recipe", name, PRESETS)
    return PRESETS[name]
