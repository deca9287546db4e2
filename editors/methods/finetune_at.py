"""`ft-at`: fine-tuning of other blocks than the usual ones, for the analysis of where to edit (paper, Fig. 2b)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from benchmark.core.errors import UserError
from benchmark.core.ranges import CountOrZero
from benchmark.models.vit import depth, ffn_matrices, msa_matrices
from editors.core.registry import register_editor
from editors.methods.finetune import FineTune, FineTuneConfig


@dataclass(frozen=True)
class FineTuneAtConfig(FineTuneConfig):
    """Settings of `ft-at`: the FFNs or the MSAs of three blocks from block `first` on (from 0)."""

    BLOCKS = 3  # consecutive ones, as in the paper

    part: Literal["ffn", "msa"] = "ffn"
    first: CountOrZero = 0


@register_editor("ft-at", listed=False)
class FineTuneAt(FineTune):
    """Plain fine-tuning of the weight matrices of three consecutive FFNs or MSAs."""

    Config = FineTuneAtConfig

    def matrices(self, model: nn.Module) -> tuple[str, ...]:
        """Both FC matrices of each FFN, or the qkv and projection matrices of each MSA."""
        blocks = range(self.config.first, self.config.first + self.config.BLOCKS)
        last = depth(model) - self.config.BLOCKS
        if self.config.first > last:
            raise UserError(f"ft-at: first must be at most {last} for this base, not {self.config.first}")
        return ffn_matrices(model, blocks) if self.config.part == "ffn" else msa_matrices(blocks)
