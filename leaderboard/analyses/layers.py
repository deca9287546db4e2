"""Where to edit: plain fine-tuning of three consecutive FFNs or MSAs at every depth (paper, Fig. 2b)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from torch import nn
from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.models.vit import depth, ffn_matrices, msa_matrices
from editors.core.registry import ChosenEditor
from editors.methods.finetune import FineTune, FineTuneConfig
from leaderboard.judging.evaluate import evaluate, folder_name
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records.record import Record

CONSECUTIVE = 3
Part = Literal["ffn", "msa"]
PARTS: tuple[Part, ...] = ("ffn", "msa")


@dataclass(frozen=True)
class FineTuneAtConfig(FineTuneConfig):
    """Settings of fine-tuning at one depth: the FFNs or the MSAs of three blocks from block `first` on (from 0)."""

    part: Part = "ffn"
    first: int = 0


class FineTuneAt(FineTune):
    """Plain fine-tuning of the weight matrices of three consecutive FFNs or MSAs."""

    Config = FineTuneAtConfig

    def matrices(self, model: nn.Module) -> tuple[str, ...]:
        """Both FC matrices of each FFN, or the qkv and projection matrices of each MSA."""
        blocks = range(self.config.first, self.config.first + CONSECUTIVE)
        return ffn_matrices(model, blocks) if self.config.part == "ffn" else msa_matrices(blocks)


@dataclass(frozen=True)
class Position:
    """One group of three: the part tuned, its blocks counted from 1 as in the paper, and how it scored."""

    part: Part
    first: int
    last: int
    record: Record


def search(usual: ChosenEditor, judge: Judge, settings: Settings, out: Path, progress: bool = True) -> list[Position]:
    """Score every group of three consecutive FFNs and MSAs (ten each for 12 blocks), or take it as it is.

    Steps, stop rule and learning rate are those of `usual`, plain fine-tuning for this base.
    Raises `UserError` for a base of fewer than three blocks.
    """
    count = depth(judge.base.module) - CONSECUTIVE + 1
    if count < 1:
        raise UserError(f"{judge.base.name} has fewer than {CONSECUTIVE} blocks; take a deeper base")
    found = []
    with tqdm(total=count * len(PARTS), unit="run", desc="layers", disable=not progress) as bar:
        for part in PARTS:
            for first in range(count):
                config = FineTuneAtConfig(**asdict(usual.config), part=part, first=first)
                choice = ChosenEditor("ft-at", FineTuneAt, config, ("part", "first"))
                record = evaluate(choice, judge, settings, out / folder_name(choice), progress)
                found.append(Position(part, first + 1, first + CONSECUTIVE, record))
                bar.update()
    return found
