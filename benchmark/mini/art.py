"""The drawings of the embedded sets, views of them, and the models, sizes and seeds by which each set is made."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.core.files import cache_folder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from benchmark.mini.emoji import Drawing
    from benchmark.models.load import BaseModel


@dataclass(frozen=True)
class Plan:
    """The models, sizes and seeds that make one embedded set; by default those of version mini-1."""

    version: str = "mini-1"
    base: str = "mini"
    rival: str = "mini-strong"  # the stronger model, which stands for the two people who verify labels, too
    side: int = 64  # pixels of a view
    drawn: int = 80  # pixels of a rendered drawing
    quality: int | None = None  # of the encoded images; None: nothing is lost
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

    @property
    def name(self) -> str:
        """The name by which commands know the set."""
        return self.version.partition("-")[0]


PLANS = {
    "mini": Plan(),
    "real": Plan(
        version="real-1",
        base="dinov2-mini",
        rival="dinov2-mini-strong",
        side=98,
        drawn=120,
        quality=95,  # lossless images would be twice as large
        dev_groups=8,
        style_images=48,
        locality=200,
        dev_locality=64,
        train=480,
        a_class=5,
        far=80,
        pool=0,  # it is drawn again by a command
        seed=12,
    ),
}  # no size was chosen with a look at what had been mined


@dataclass(frozen=True)
class Art:
    """All drawings: style and class, pixels, and families of drawings that are nearly one picture."""

    drawings: list[Drawing]
    pixels: torch.Tensor  # (n, 4, s, s) float32, premultiplied
    families: list[int]
    side: int  # pixels of a view

    @classmethod
    def load(cls, plan: Plan) -> Art:
        """Render all drawings at the plan's resolution."""
        from benchmark.mini.emoji import render
        from benchmark.mini.selection import find_families
        from benchmark.mini.views import premultiply

        drawings, straight = render(cache_folder() / "emoji", side=plan.drawn)
        return cls(drawings, premultiply(straight), find_families(drawings, straight), plan.side)

    def make_views(self, chosen: list[int], regime: str, seed: int) -> tuple[list[dict], np.ndarray]:
        """Make one view of each chosen drawing: its columns, and pixels (n, side, side, 3) uint8."""
        import torch

        from benchmark.mini.views import REGIMES, make_views

        random = torch.Generator().manual_seed(seed)
        batches = torch.tensor(chosen).split(256)
        images = torch.cat([make_views(self.pixels[batch], REGIMES[regime], random, self.side) for batch in batches])
        return [self._columns(i, f"{regime}-{seed}") for i in chosen], images.permute(0, 2, 3, 1).numpy()

    def _columns(self, i: int, view: str) -> dict:
        d = self.drawings[i]
        columns = {"drawing": d.name, "style": d.style, "label": d.label, "tier": d.tier, "family": self.families[i]}
        return {**columns, "position": i, "source_id": f"{d.icon}#{view}"}


@functools.cache
def load_pair(plan: Plan) -> tuple[BaseModel, BaseModel]:
    """The plan's base and rival."""
    from benchmark.models.load import load_base

    return load_base(plan.base), load_base(plan.rival)


def predict_views(views: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Add both models' predictions and the base's margin to a table of views, from their encoded images."""
    from benchmark.images.memory import EncodedImages
    from benchmark.predict.engine import predict

    pool = EncodedImages.of("views", views["data"].tolist())
    predictions = predict(list(load_pair(plan)), pool, cache=None, progress=False)
    return views.reset_index(drop=True).assign(
        base_prediction=predictions[f"{plan.base}_label"],
        strong_prediction=predictions[f"{plan.rival}_label"],
        margin=predictions[f"{plan.base}_margin"],
    )
