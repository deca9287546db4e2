"""`grace`: a memory of one edit beside one block. No weight changes, and far from the memory neither does any output.

Source: Hartvigsen et al. 2023, "Aging with GRACE: Lifelong Model Editing with Discrete Key-Value Adaptors",
section 3 and its released code; beyond the paper. The codebook lies around one block and holds, for each
editing sample, a key (the [cls] token that enters the block), a value (what leaves it as [cls] instead)
and the deferral radius epsilon. A token within epsilon, Euclidean, of its nearest key gets that key's value; for
every other the base computes as ever.

What the source leaves open, or settles for language models that are edited again and again:

- Edits are independent here, so the codebook is new for each failure: its rules for keys that collide are not
  needed, and epsilon neither grows nor splits. Several samples of one failure get one entry each.
- The released code replaces prompt or last tokens; here it is [cls], which alone is classified.
- The released code wraps one linear layer, whose output is added to what passes it by; here the codebook lies around a
  whole block, so that a value replaces all that leaves it at [cls].
- Values start at the base's own output (its "warm" start), not at noise, so that the edit starts from what it corrects.
- The article has a fixed epsilon. Distances between tokens mean nothing across models, so epsilon is
  given in units of a distance measured on the base (`neighbour_distance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.core.ranges import Count, Positive
from benchmark.models.vit import Cut, depth, forward_prefix, forward_tail
from editors.core.base import BatchEditor, TrainingImages, knob
from editors.core.descent import MAX_STEPS, DescentConfig, Trainable, descend
from editors.core.edit import Edit, FailedEdit, TailEdit
from editors.core.registry import register_editor
from editors.core.statistics import collect

RADII = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
MEASURED = 2000  # training images at most: all their distances are held at once


@dataclass(frozen=True)
class GRACEConfig:
    """Settings of `grace`.

    lr: Adam's, on the token itself; the released code's.
    epsilon: the deferral radius in units of `neighbour_distance`: at 1, half of the training images are farther than
        the radius from every image of another class.
    block: the block whose [cls] output is replaced, counted from 0, or from the end if negative; not the first. By
        default the second last, where [cls] is near to a class and the last block still reads the image beside it.
    """

    lr: Positive = 1.0
    epsilon: Positive = knob(1.0, sweep=RADII)
    block: int = -2
    max_steps: Count = MAX_STEPS


def neighbour_distance(tokens: Tensor, labels: Tensor) -> Tensor:
    """Median over images of the Euclidean distance to the nearest image of another class, a scalar.

    `tokens` (n, N), `labels` (n,) int64 of two classes or more. Another class, because an edit should reach images
    of its own class and stop at the next; the nearest and not the mean distance, because that is where it would do
    harm; the median, because a few near-duplicates should not set the scale. It shrinks slowly as images are added.
    """
    distances = torch.cdist(tokens, tokens, compute_mode="donot_use_mm_for_euclid_dist")
    distances.masked_fill_(labels[:, None] == labels, torch.inf)
    return distances.min(dim=1).values.median()


@dataclass(frozen=True)
class Memory:
    """An edited model, from the tokens (n, T, N) that enter block `block` to logits (n, classes).

    `keys` and `values` are (entries, N); `epsilon` is in the units of the tokens.
    """

    model: nn.Module
    block: int
    keys: Tensor
    values: Tensor
    epsilon: float

    def __call__(self, tokens: Tensor) -> Tensor:
        """Every image on its own: the nearest key's value within epsilon of it, else the base."""
        distances, nearest = (tokens[:, :1] - self.keys).norm(dim=-1).min(dim=1)
        outputs = self.model.get_submodule(f"blocks.{self.block}")(tokens)
        inside = (distances <= self.epsilon)[:, None]
        cls = torch.where(inside, self.values[nearest], outputs[:, 0])
        return forward_tail(self.model, torch.cat([cls[:, None], outputs[:, 1:]], dim=1), Cut(self.block + 1), {})


@register_editor("grace")
class GRACE(BatchEditor):
    """A trained [cls] token for images whose [cls] token lies near to the editing sample's; Adam on the token."""

    Config = GRACEConfig

    def __init__(self, config: GRACEConfig | None = None) -> None:
        super().__init__(config)
        self._distance: Tensor | None = None
        self._provenance: dict[str, str] = {}

    def fit(self, model: nn.Module, training: TrainingImages) -> None:
        """Measure `neighbour_distance` where the keys lie, on 2,000 training images at most.

        Raises `UserError` unless they are of two classes or more.
        """
        block = self.block(model)
        statistics = collect(model, training, Cut(block), MEASURED)
        if len(statistics.labels.unique()) < 2:
            raise UserError("grace needs training images of two classes to measure their distance")
        self._distance = neighbour_distance(statistics.tokens, statistics.labels)
        self._provenance = {
            **statistics.provenance,
            "statistic": f"median distance to the nearest [cls] of another class before block {block}",
        }

    def state_dict(self) -> dict[str, Tensor]:
        """The measured distance (1,), once `fit` has run."""
        return {} if self._distance is None else {"neighbour_distance": self._distance[None]}

    def provenance(self) -> dict[str, str]:
        """The statistic that `fit` measured, its place, and the images it is of."""
        return dict(self._provenance)

    def block(self, model: nn.Module) -> int:
        """The block that the memory lies around, from 0.

        Raises `UserError` if the model has no such block, and for the first: the [cls] token that enters it is the
        same for every image.
        """
        blocks = depth(model)
        if not 0 < self.config.block + blocks * (self.config.block < 0) < blocks:
            raise UserError(f"grace: block={self.config.block} is not one of 1 to {blocks - 1}, or {1 - blocks} to -1")
        block: int = self.config.block % blocks
        return block

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """All failures in one descent; nothing here is random, so the seeds are not used.

        Raises `UserError` before `fit` has measured the distance.
        """
        if self._distance is None:
            raise UserError("grace: epsilon is in units of a distance that fit measures; call fit first")
        block = self.block(model)
        behind = Cut(block + 1)
        with torch.no_grad():
            entering = forward_prefix(model, images.flatten(0, 1), Cut(block))
            leaving = model.get_submodule(f"blocks.{block}")(entering)
        keys = entering[:, 0].unflatten(0, images.shape[:2])
        tokens = leaving.unflatten(0, images.shape[:2])

        def forward(trainable: Trainable, tokens: Tensor) -> Tensor:
            # a key's own sample lies at distance 0 from it, so this is the memory as its editing samples see it
            memorised = torch.cat([trainable["values"][..., None, :], tokens[..., 1:, :]], dim=-2)
            return forward_tail(model, memorised, behind, {})

        config = DescentConfig(self.config.lr, optimizer="adam", max_steps=self.config.max_steps)
        descents = descend(forward, tokens, labels, {"values": tokens[:, :, 0]}, config)
        epsilon = self.config.epsilon * float(self._distance)
        edits: list[Edit] = []
        for key, descent in zip(keys, descents, strict=True):
            if descent.failure is not None:
                edits.append(FailedEdit(descent.failure, descent.steps))
            else:
                memory = Memory(model, block, key, descent.values["values"], epsilon)
                edits.append(TailEdit(memory, Cut(block), descent.steps))
        return edits
