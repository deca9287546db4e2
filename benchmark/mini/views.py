"""Views: a drawing placed on a background, as a square RGB image.

One function makes every image of the embedded sets, for training and for the data alike. Two regimes: `plain` varies
the placement a little, `wide` a lot. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

SIDE = 64  # pixels of a view of the mini


@dataclass(frozen=True)
class Regime:
    """Ranges of the random placement; shifts and shears as shares of the image's side."""

    degrees: float  # rotation, +-
    scale: tuple[float, float]  # side of the drawing's box
    shift: float  # +-
    shear: float  # +-
    colour: float  # gain of each channel, 1 +-


PLAIN = Regime(degrees=12, scale=(0.8, 1.0), shift=0.08, shear=0.08, colour=0.10)
WIDE = Regime(degrees=35, scale=(0.55, 1.05), shift=0.15, shear=0.20, colour=0.25)
REGIMES = {"plain": PLAIN, "wide": WIDE}


def premultiply(pixels: np.ndarray) -> torch.Tensor:
    """Drawings (n, s, s, 4) uint8 with straight alpha -> (n, 4, s, s) float32 in 0..1, premultiplied."""
    import torch

    rgba = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    rgba[:, :3] *= rgba[:, 3:]
    return rgba.contiguous()


def make_views(drawings: torch.Tensor, regime: Regime, random: torch.Generator, side: int = SIDE) -> torch.Tensor:
    """Make one random view of each drawing.

    Args:
        drawings: (n, 4, s, s) float32, premultiplied.
        regime: how far placement and colour vary.
        random: the only source of randomness; on the CPU.
        side: pixels of a view's side; the same numbers place a drawing at any.

    Returns:
        (n, 3, side, side) uint8.
    """
    import torch
    import torch.nn.functional as F

    n = len(drawings)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(n, *shape, generator=random) * (high - low) + low

    angle = uniform(-1, 1) * math.radians(regime.degrees)
    zoom = 1 / uniform(*regime.scale)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    shear, shift = uniform(-1, 1) * regime.shear, uniform(-2, 2, 2) * regime.shift
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    # Inverse map, from the view's coordinates (-1..1) to the drawing's.
    rows = torch.stack([mirror * cos, mirror * (shear * cos - sin), sin, cos + shear * sin], 1)
    theta = torch.cat([rows.view(n, 2, 2), torch.empty(n, 2, 1)], 2)
    theta[:, :, 2:] = -theta[:, :, :2] @ shift[:, :, None]
    grid = F.affine_grid(theta, [n, 4, side, side], align_corners=False)
    placed = F.grid_sample(drawings, grid, mode="bilinear", align_corners=False)

    gain = 1 + uniform(-1, 1, 3)[:, :, None, None] * regime.colour
    ink = torch.minimum(placed[:, :3] * gain, placed[:, 3:])
    views = ink + (1 - placed[:, 3:]) * _make_backgrounds(n, uniform, side)
    return views.mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def normalise(views: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """(n, 3, side, side) uint8 -> float32 as a model takes it."""
    import torch

    return (views.float() / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def _make_backgrounds(n: int, uniform, side: int) -> torch.Tensor:
    """(n, 3, side, side): half of them flat, half a linear gradient between two light colours."""
    import torch

    first, second = uniform(0.4, 1, 3), uniform(0.4, 1, 3)
    flat = (uniform(0, 1) < 0.5)[:, None]
    second = torch.where(flat, first, second)
    turn = uniform(0, 2 * math.pi)
    axis = torch.linspace(-0.5, 0.5, side)
    slope = turn.cos()[:, None, None] * axis + turn.sin()[:, None, None] * axis[:, None] + 0.5
    along = slope.clamp(0, 1)[:, None]
    return first[:, :, None, None] * (1 - along) + second[:, :, None, None] * along
