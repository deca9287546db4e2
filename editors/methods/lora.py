"""`lora`: low-rank updates of the queries and values of every block, trained on the editing sample alone.

Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1; the paper's settings
in 5.1 and appendix B.2: rank 8 on the queries and values of all MSAs, Adam with 1e-4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.core.ranges import Count, Positive
from benchmark.models.vit import Cut, depth, forward_prefix, forward_tail, msa_matrices
from editors.core.base import BatchEditor, knob
from editors.core.descent import MAX_STEPS, DescentConfig, Trainable, descend, weight_edits
from editors.core.edit import Edit
from editors.core.registry import register_editor

RANKS = (1, 2, 4, 8, 16, 32)
QUERY_AND_VALUE = 2  # of the three parts of a fused query-key-value matrix; keys stay as they are


@dataclass(frozen=True)
class LoRAConfig:
    """Settings of `lora`; `rank` is r, a whole number.

    The paper does not give alpha: it is r here, so that alpha / r is 1 at every rank and left out of the code.
    The reference helper divides alpha by r as integers, so that r = 8 with alpha = 4 silently trains nothing.
    """

    lr: Positive = 1e-4
    rank: Count = knob(8, sweep=RANKS)
    max_steps: Count = MAX_STEPS


def draw_a(model: nn.Module, rank: int, seed: int) -> Tensor:
    """Initial A of one failure, (blocks, 2, rank, N): uniform in +-1/sqrt(N), that is Kaiming with a = sqrt(5).

    That is the reference code's; the article (4.1) says Gaussian. Drawn in float32 on the CPU, so that every
    device and precision begins with the same numbers.
    """
    blocks, width = depth(model), model.get_parameter(msa_matrices([0])[0]).shape[1]
    rows = torch.empty(blocks * QUERY_AND_VALUE * rank, width)
    nn.init.kaiming_uniform_(rows, a=math.sqrt(5), generator=torch.Generator().manual_seed(seed))
    return rows.view(blocks, QUERY_AND_VALUE, rank, width)


def with_updates(weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Fused query-key-value weights (m, 3D, N) with W + B A (Hu et al., eq. 3) for the queries and values.

    `weight` (3D, N) is the base's, `a` (m, 2, r, N), `b` (m, 2, D, r), each for queries and values in turn.
    """
    query, key, value = weight.chunk(3)
    updates = b @ a
    return torch.cat([query + updates[:, 0], key.expand(len(a), *key.shape), value + updates[:, 1]], dim=1)


@register_editor("lora")
class LoRA(BatchEditor):
    """Low-rank updates of queries and values in all blocks by Adam, until right with cross-entropy below 0.01."""

    Config = LoRAConfig

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """All failures in one descent; each draws its A from its own seed, and B is zero (Hu et al., 4.1)."""
        base = {name: model.get_parameter(name) for name in msa_matrices(range(depth(model))) if ".qkv." in name}
        cut = Cut(0)  # every block is touched
        with torch.no_grad():
            tokens = forward_prefix(model, images.flatten(0, 1), cut).unflatten(0, images.shape[:2])
        a = torch.stack([draw_a(model, self.config.rank, seed) for seed in seeds]).to(tokens)
        rows = next(iter(base.values())).shape[0] // 3
        start = {"a": a, "b": a.new_zeros(*a.shape[:3], rows, self.config.rank)}

        def overrides(trainable: Trainable) -> Mapping[str, Tensor]:
            blocks = zip(base.items(), trainable["a"].unbind(1), trainable["b"].unbind(1), strict=True)
            return {name: with_updates(weight, block_a, block_b) for (name, weight), block_a, block_b in blocks}

        def forward(trainable: Trainable, tokens: Tensor) -> Tensor:
            return forward_tail(model, tokens, cut, overrides(trainable))

        config = DescentConfig(self.config.lr, optimizer="adam", max_steps=self.config.max_steps)
        return weight_edits(descend(forward, tokens, labels, start, config), overrides)
