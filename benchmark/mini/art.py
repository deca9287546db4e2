"""The drawings of the mini, views of them, and the sizes and seeds by which it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.files import cache_folder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from benchmark.mini.emoji import Drawing


@dataclass(frozen=True)
class Plan:
    """The sizes and seeds that make version mini-1."""

    plain_views: int = 12  # of each shift drawing, in the pool
    wide_views: int = 4
    pair_groups: int = 16
    dev_groups: int = 10
    style_images: int = 80  # of each of the two groups by style
    locality: int = 320
    dev_locality: int = 120
    margin: float = 0.05
    a_drawing: int = 3  # locality images of one drawing, at most
    rounds: int = 60  # wide views of each locality drawing, at most
    train: int = 1600
    a_class: int = 10  # images of `locality_taken` of one class, at most
    far: int = 160
    pool: int = 1700  # images left in the embedded pool beside `edit` and `dev_edit`
    seed: int = 11


@dataclass(frozen=True)
class Art:
    """All drawings: style and class, pixels, and families of drawings that are nearly one picture."""

    drawings: list[Drawing]
    pixels: torch.Tensor  # (n, 4, 80, 80) float32, premultiplied
    families: list[int]

    @classmethod
    def load(cls) -> Art:
        from benchmark.mini.emoji import render
        from benchmark.mini.selection import find_families
        from benchmark.mini.views import premultiply

        drawings, straight = render(cache_folder() / "emoji")
        return cls(drawings, premultiply(straight), find_families(drawings, straight))

    def make_views(self, chosen: list[int], regime: str, seed: int) -> tuple[list[dict], np.ndarray]:
        """Make one view of each chosen drawing: its columns, and pixels (n, 64, 64, 3) uint8."""
        import torch

        from benchmark.mini.views import REGIMES, make_views

        random = torch.Generator().manual_seed(seed)
        batches = torch.tensor(chosen).split(256)
        images = torch.cat([make_views(self.pixels[batch], REGIMES[regime], random) for batch in batches])
        return [self._columns(i, f"{regime}-{seed}") for i in chosen], images.permute(0, 2, 3, 1).numpy()

    def _columns(self, i: int, view: str) -> dict:
        d = self.drawings[i]
        columns = {"drawing": d.name, "style": d.style, "label": d.label, "tier": d.tier, "family": self.families[i]}
        return {**columns, "position": i, "source_id": f"{d.icon}#{view}"}


def predict_views(views: pd.DataFrame, cache: Path | None = None) -> pd.DataFrame:
    """Add both models' predictions and `mini`'s margin to a table of views, from their encoded images."""
    from benchmark.images.memory import EncodedImages
    from benchmark.models.load import load_base
    from benchmark.predict.engine import predict

    pool = EncodedImages.of("views", views["data"].tolist())
    predictions = predict([load_base("mini"), load_base("mini-strong")], pool, cache=cache, progress=cache is not None)
    return views.reset_index(drop=True).assign(
        base_prediction=predictions["mini_label"],
        strong_prediction=predictions["mini-strong_label"],
        margin=predictions["mini_margin"],
    )
