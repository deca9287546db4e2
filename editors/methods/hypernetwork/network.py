"""The hypernetwork g(.; phi): from the base's [cls] feature to a score for every structured unit (paper, 3.5)."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.core.readers import parse_json
from benchmark.models.vit import Model, ffn_matrices, hidden_width
from editors.methods.hypernetwork.recipe import HypernetworkRecipe


@dataclass(frozen=True)
class HypernetworkShape:
    """The sizes of the network's tensors: width N, attention heads, layers (six), units N_m, and the recipe's part."""

    width: int
    heads: int
    layers: int
    units: int
    blocks: int
    mlp_hidden: int
    shared_head: bool

    @classmethod
    def of(cls, model: Model, recipe: HypernetworkRecipe) -> HypernetworkShape:
        """The shape that fits a base: its width and N_m; 6 heads if they divide the width, else as many as it has."""
        width, units = model.embed_dim, hidden_width(model)
        return cls(
            width=width,
            heads=6 if width % 6 == 0 else model.blocks[0].attn.num_heads,
            layers=len(ffn_matrices(model)),
            units=units,
            blocks=recipe.blocks,
            mlp_hidden=units if recipe.wide_mlp else width,
            shared_head=recipe.shared_head,
        )

    def to_json(self) -> str:
        """All fields, for a checkpoint."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> HypernetworkShape:
        """The shape a checkpoint carries."""
        return cls(**parse_json(text, "its shape"))


class Hypernetwork(nn.Module):
    """Attention blocks over one learnable token a layer and the feature of x; the scores are read at the tokens.

    No final norm, as in the released code. The tokens start at zero: the heads, or their targets, tell them apart.
    """

    def __init__(self, shape: HypernetworkShape) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block

        self.shape = shape
        self.tokens = nn.Parameter(torch.zeros(1, shape.layers, shape.width))
        self.blocks = nn.Sequential(
            *(
                Block(shape.width, shape.heads, mlp_ratio=shape.mlp_hidden / shape.width, qkv_bias=True)
                for _ in range(shape.blocks)
            )
        )
        count = 1 if shape.shared_head else shape.layers
        self.heads = nn.ModuleList(nn.Linear(shape.width, shape.units) for _ in range(count))

    def forward(self, features: Tensor) -> Tensor:
        """Scores m (n, layers, N_m), any real numbers, from features (n, N)."""
        tokens = torch.cat([self.tokens.expand(len(features), -1, -1), features[:, None]], dim=1)
        tokens = self.blocks(tokens)[:, : self.shape.layers]
        if self.shape.shared_head:
            scores: Tensor = self.heads[0](tokens)
            return scores
        return torch.stack([head(tokens[:, layer]) for layer, head in enumerate(self.heads)], dim=1)


def new_network(shape: HypernetworkShape, seed: int) -> Hypernetwork:
    """An untrained network, its weights drawn from `seed` alone, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Hypernetwork(shape)
