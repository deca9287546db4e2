"""`rome`: a rank-one change of the last FFN's second layer that gives the sample's key a new value.

Source: Meng et al. 2022, "Locating and Editing Factual Associations in GPT", section 3.1; constants as in SPEC 5.
The key k (N_m,) is what ``fc2`` takes at [cls], the value v (N,) what it gives, bias included. Only [cls]
reaches the head behind the last block, so what v* was trained to do is what the edited model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.devices import in_float64
from benchmark.core.errors import UserError
from benchmark.core.ranges import Count, Positive
from benchmark.models.vit import depth, forward_prefix, forward_tail, hidden_activations
from editors.core.base import TrainingImages, knob
from editors.core.descent import MAX_STEPS, DescentConfig, Trainable, descend
from editors.core.edit import Edit, FailedEdit, WeightEdit
from editors.core.registry import register_editor
from editors.core.statistics import StatisticsEditor, last_ffn

WEIGHT_DECAY = 0.5  # SPEC 5
KL_WEIGHT = 0.0625  # SPEC 5
KL_IMAGES = 16  # "a few held-out images" (SPEC 5): the first of the statistics' random order


@dataclass(frozen=True)
class ROMEConfig:
    """Settings of `rome`.

    clamp: the change d of the value is kept at norm(d) <= clamp * norm(v0); 4 in SPEC 5.
    ridge: added to the diagonal of C = E[k k^T], as a share of its mean; SPEC 5 leaves its size open.
    """

    lr: Positive = 0.01
    max_steps: Count = MAX_STEPS
    clamp: Positive = knob(4.0, sweep=(0.5, 1.0, 2.0, 3.0, 4.0))
    ridge: Positive = 1e-3


@register_editor("rome")
class ROME(StatisticsEditor):
    """Train a value for the sample with Adam, then write it into ``fc2.weight`` by constrained least squares.

    The descent has the stop rule that all editors share: SPEC 5 asks for "20+ steps", and this allows 100. For
    several samples of one failure k is their mean key, as it is the mean over contexts in the source: v* is
    then exact for the mean, and near for each of them.
    """

    Config = ROMEConfig

    def __init__(self, config: ROMEConfig | None = None) -> None:
        super().__init__(config)
        self._factor: Tensor | None = None
        self._ridge = 0.0

    def fit(self, model: nn.Module, training: TrainingImages) -> None:
        """Take the statistics and factor C once. Raises `UserError` if it is singular in spite of the ridge."""
        super().fit(model, training)
        with torch.no_grad():
            keys = hidden_activations(model, self.statistics.tokens, depth(model) - 1)
        self._factor, self._ridge = factor(keys, self.config.ridge)

    def provenance(self) -> dict[str, str]:
        """The origin of the statistics, and the ridge as it was added to C."""
        provenance = super().provenance()
        return {**provenance, "ridge": f"{self._ridge:.6g}"} if provenance else {}

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """All failures in one descent; nothing here is random, so the seeds are not used."""
        held_out, cut = self.statistics.tokens[:KL_IMAGES], last_ffn(model)
        fc2 = f"blocks.{cut.block}.mlp.fc2"
        weight, bias = model.get_parameter(f"{fc2}.weight"), model.get_parameter(f"{fc2}.bias")
        with torch.no_grad():
            tokens = forward_prefix(model, images.flatten(0, 1), cut).unflatten(0, images.shape[:2])
            keys = hidden_activations(model, tokens, cut.block).mean((1, 2))
            sizes = F.linear(keys, weight, bias).norm(dim=1)
            before = forward_tail(model, held_out[:, None], cut, {}).log_softmax(-1)

        def forward(trainable: Trainable, tokens: Tensor) -> Tensor:
            # at [cls], to change the value is to change the bias
            return forward_tail(model, tokens, cut, {f"{fc2}.bias": bias + trainable["change"]})

        def penalty(trainable: Trainable, rows: Tensor) -> Tensor:
            after = forward(trainable, held_out[:, None].expand(len(rows), -1, -1, -1)).log_softmax(-1)
            return decay(trainable["change"], sizes[rows]) + KL_WEIGHT * divergence(after, before)

        def project(trainable: Trainable, rows: Tensor) -> None:
            trainable["change"].copy_(clamped(trainable["change"], self.config.clamp * sizes[rows]))

        start = {"change": bias.new_zeros(len(keys), len(bias))}
        config = DescentConfig(self.config.lr, "adam", max_steps=self.config.max_steps)
        descents = descend(forward, tokens, labels, start, config, penalty=penalty, project=project)
        assert self._factor is not None  # `fit` made it with the statistics
        edits: list[Edit] = []
        for key, descent in zip(keys, descents, strict=True):
            if descent.failure is not None:
                edits.append(FailedEdit(descent.failure, descent.steps))
            else:
                written = insert(weight, key, descent.values["change"], self._factor)
                edits.append(WeightEdit({f"{fc2}.weight": written}, descent.steps))
        return edits


def factor(keys: Tensor, ridge: float) -> tuple[Tensor, float]:
    """Cholesky factor (N_m, N_m) of C plus its ridge in float64, and the size of that ridge.

    C = E[k k^T], uncentred, over `keys` (n, N_m); the ridge is `ridge` times the mean of C's diagonal.
    Raises `UserError` if the sum is not positive definite.
    """
    keys = in_float64(keys)
    moment = keys.T @ keys / len(keys)
    size = ridge * moment.diagonal().mean().item()
    moment.diagonal().add_(size)
    lower, info = torch.linalg.cholesky_ex(moment)
    if info != 0:
        raise UserError(
            f"rome: E[k k^T] over {len(keys)} training images is singular in spite of a ridge of {size:.3g}; "
            f"raise it (rome:ridge={max(10 * ridge, 1e-3):g}) or give more training images"
        )
    return lower, size


@torch.no_grad()
def insert(weight: Tensor, key: Tensor, change: Tensor, lower: Tensor) -> Tensor:
    """W + change u^T / (k^T u) with u = C^-1 k, (N, N_m): of all W' with W' k = W k + change, the one that
    moves the values of seen keys least, E ||(W' - W) k||^2 under C (Meng et al., eq. 2).

    `weight` W (N, N_m), `key` k (N_m,), `change` (N,), `lower` the Cholesky factor of C. Solved in float64.
    """
    key = in_float64(key)
    direction = torch.cholesky_solve(key[:, None], lower).squeeze(1)
    return weight + torch.outer(in_float64(change), direction / (key @ direction)).to(weight)


def decay(change: Tensor, sizes: Tensor) -> Tensor:
    """0.5 * norm(d) / norm(v0)^2, (m,), for changes d (m, N) and norms of v0 (m,); norm(d) is not squared (SPEC 5)."""
    norms: Tensor = change.norm(dim=1)
    return WEIGHT_DECAY * norms / sizes.square()


def divergence(after: Tensor, before: Tensor) -> Tensor:
    """KL(edited || base), mean over the held-out images, (m,), of log-probabilities (m, n, classes), (n, classes).

    The direction of Meng et al., eq. 4, and of their code.
    """
    return (after.exp() * (after - before)).sum(-1).mean(1)


def clamped(change: Tensor, limits: Tensor) -> Tensor:
    """Changes (m, N), scaled down to norms of at most `limits` (m,)."""
    norms = change.norm(dim=1)
    return change * torch.where(norms > limits, limits / norms, 1.0)[:, None]
