"""Every choice of meta-training in one frozen record, as the paper writes it and as its released code does it.

The two differ in many places; `PRESETS` holds both, any item can be changed, and a checkpoint carries the
recipe that made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchmark.core.errors import unknown
from editors.training.recipe import Choices

TARGET_ITEMS = (  # the items that m~ depends on; the others only refit
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
class Recipe(Choices):
    """How a hypernetwork is meta-trained. The defaults are the released code's.

    Pseudo-samples
        pseudo: ``cutmix``, or ``pgd`` (paper, C.4).
        crop_scale: least area share of a random resized crop of each image; None takes the base's own crop.
        grid_patches: CutMix sides drawn independently and aligned to the patch grid; else a square of pixels.
    Inner loop (Algorithm 1, lines 7-10)
        inner_steps, inner_lr: T and alpha.
        temperature: of both sides of the KL, which is then multiplied by its square.
        mask_slope: k of eq. (4), mask = sigmoid(k m).
        second_order: differentiate through the inner loop, or hold its gradients constant.
    Outer loop (lines 11, 13-19)
        form: ``decoupled`` optimises a free m~ for each sample and fits the network to it; ``standard``
            sends the outer gradient to the network.
        sparsity_weight: lambda, of `RELEASED_BATCH` samples' summed KL.
        outer_steps, target_lr, target_optimizer: how m~ is optimised from uniform(-1, 1).
    Network and its fit (line 21, eq. 12)
        blocks: attention blocks.
        wide_mlp: FFNs as wide as the base's; else as wide as the embedding.
        shared_head: one FC layer for all tokens; else one a token.
        score_slope: k where the decoupled network's scores, and their targets, become values in (0, 1).
        clamp_fit, clamp_edit: these values are kept that far from 0 and 1.
        fit_loss: ``bce``, 0.1 times, has the gradient of KL(m~, m^); ``kl`` is KL(m^, m~), another loss.
        lr, steps_a_batch: RMSProp's, and how many of its steps each batch gets (decoupled form).
        cosine_over: iterations of the half cosine the learning rate follows; None keeps it.
        batch, iterations: pseudo-samples a batch, and batches.
        precision: ``tf32`` lets a GPU round the factors of matrix products to 10 bits.
    """

    name: str = "released"
    pseudo: Literal["cutmix", "pgd"] = "cutmix"
    crop_scale: float | None = 0.25
    grid_patches: bool = True
    inner_steps: int = 5
    inner_lr: float = 1e-3
    temperature: float = 5.0
    mask_slope: float = 10.0
    second_order: bool = False
    form: Literal["decoupled", "standard"] = "decoupled"
    sparsity_weight: float = 1.0
    outer_steps: int = 10
    target_lr: float = 0.1
    target_optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    blocks: int = 5
    wide_mlp: bool = False
    shared_head: bool = False
    score_slope: float = 3.0
    clamp_fit: float = 1e-5
    clamp_edit: float = 1e-7
    fit_loss: Literal["bce", "kl"] = "bce"
    lr: float = 1e-4
    steps_a_batch: int = 4
    cosine_over: int | None = 20_000
    batch: int = 8
    iterations: int = 7_000
    precision: Literal["float32", "tf32"] = "float32"

    def __post_init__(self) -> None:
        self._at_least(inner_steps=1, outer_steps=1, blocks=1, steps_a_batch=1, batch=1, iterations=1)
        self._above_zero("inner_lr", "target_lr", "lr", "temperature")

    @property
    def slope(self) -> float:
        """k of the network's own sigmoid: the standard form's output is the mask itself."""
        return self.mask_slope if self.form == "standard" else self.score_slope

    def target_items(self) -> dict[str, Any]:
        """What the bank of targets depends on."""
        return {name: getattr(self, name) for name in TARGET_ITEMS}


PRESETS = {
    "released": Recipe(),
    "paper": Recipe(
        name="paper",
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


def preset(name: str) -> Recipe:
    """One of the two recipes by name. Raises `UserError` for another."""
    if name not in PRESETS:
        raise unknown("recipe", name, PRESETS)
    return PRESETS[name]
