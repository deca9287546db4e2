"""Scores by place: plain fine-tuning of three consecutive FFNs or MSAs at every depth (paper, Fig. 2b)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.models.vit import depth
from editors.core.registry import ChosenEditor
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records.record import Record
from leaderboard.scores import curves

COMPONENTS = ("ffn", "msa")


@dataclass(frozen=True)
class Position:
    """Consecutive blocks of which one component was tuned, counted from 1 as in the paper, and their scores."""

    part: str
    first: int
    last: int
    record: Record

    def row(self) -> dict[str, Any]:
        """The columns of a csv."""
        scores = curves.columns(curves.shown(self.record))
        return {"part": self.part, "first": self.first, "last": self.last, **scores}


def search(
    usual: ChosenEditor,
    movable: ChosenEditor,
    judge: Judge,
    settings: Settings,
    out: Path,
    progress: bool = True,
    border: Border | None = None,
) -> list[Position]:
    """Score every three consecutive FFNs and MSAs (ten each for 12 blocks), or take the score as it is.

    `movable` tunes the component and the blocks that its settings name, with the steps, stop rule and learning rate of
    `usual`. Raises `UserError` for a base of fewer blocks.
    """
    consecutive = movable.config.BLOCKS
    count = depth(judge.base.module) - consecutive + 1
    if count < 1:
        raise UserError(f"{judge.base.name} has fewer than {consecutive} blocks; take a deeper base")
    positions = []
    with tqdm(total=count * len(COMPONENTS), unit="run", desc="layers", disable=not progress) as bar:
        for part in COMPONENTS:
            for first in range(count):
                config = replace(movable.config, **asdict(usual.config), part=part, first=first)
                moved = replace(movable, config=config, written=("part", "first"))
                record = evaluate(moved, judge, settings, out, progress, border, below=True)
                positions.append(Position(part, first + 1, first + consecutive, record))
                bar.update()
    return positions
