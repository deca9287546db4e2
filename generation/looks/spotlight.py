"""A stage-light look for real images: a dark room, one coloured spot with falloff, its beam, and a soft shadow.

Light is computed in linear sRGB: the picture times what falls on it, plus the haze that the beam lights up. The spot
is an ellipse; its falloff is a smooth step over the penumbra, as a theatre's profile spot has it. The subject, as far
as the picture tells it apart (see `find_subject`), throws a blurred shadow away from the lamp, onto what is behind it.

The numbers below were set by looking at the pictures; neither the paper nor PUG, which renders its seven lights with
Unreal Engine, gives any.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image, ImageFilter

GELS = ((255, 170, 90), (255, 70, 170), (90, 120, 255), (80, 255, 140), (255, 60, 50), (190, 90, 255), (255, 225, 170))
AMBIENT = (0.03, 0.09)  # of full light, in the dark room; seeded
NIGHT = (0.55, 0.65, 1.0)  # colour of the dark room
SPOT = (0.36, 0.55)  # half the spot's larger axis, as a share of the image's short side; seeded
AWAY = 0.14  # of the short side, how far the spot's centre may lie from the image's
PENUMBRA = 0.55  # width of the soft edge, as a share of the spot
POWER = (1.5, 2.2)  # of the spot at its centre, over the daylight that the picture was made in; seeded
GEL = (0.5, 0.9)  # how much of the white is taken out by the gel; seeded
HAZE = (0.02, 0.07)  # of full light, in the beam; seeded
SHADOW = 0.75  # of the spot's light that the subject takes away
THROW = 0.10  # of the short side, how far the shadow falls
DIFFERENT = (0.06, 0.16)  # distance from the border's colours (0..1) at which a pixel begins to be subject, and is


def light_stage(image: Image.Image, seed: int) -> Image.Image:
    """`image` (RGB, any size) under a spot in a dark room; the same seed gives the same light, at the same size."""
    import numpy as np
    from PIL import Image, ImageFilter

    random = np.random.default_rng(seed)
    pixels = np.asarray(image, np.float64) / 255
    rows, columns = pixels.shape[:2]
    short = min(rows, columns)
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    angle = random.uniform(-0.9, 0.9)  # of the lamp above, from straight overhead
    centre_x = columns / 2 + random.uniform(-AWAY, AWAY) * short
    centre_y = rows / 2 + random.uniform(-AWAY, AWAY) * short
    spot = random.uniform(*SPOT) * short
    gel = _to_linear(np.array(GELS[random.integers(len(GELS))]) / 255)
    gel = 1 + random.uniform(*GEL) * (gel - 1)

    along, across = _rotate(x - centre_x, y - centre_y, angle)
    pool = _smooth_step(1 + PENUMBRA / 2, 1 - PENUMBRA / 2, np.hypot(across / (0.85 * spot), along / spot))
    # The beam comes from a lamp far above the picture, and widens until it meets the spot.
    reach = 2.2 * short
    wide = 0.85 * spot * np.clip((along + reach) / reach, 0.02, 1)
    beam = _smooth_step(1.25, 0.6, np.abs(across) / wide)
    beam = beam * _smooth_step(0.6 * spot, -0.2 * spot, along)

    subject = find_subject(pixels)
    thrown = _move(subject, math.sin(angle) * THROW * short, math.cos(angle) * THROW * short)
    shadow = _filter(thrown, ImageFilter.GaussianBlur(0.035 * short))
    shadow *= 1 - _filter(subject, ImageFilter.MinFilter(3))  # its rim is half background, and would shine
    light = pool * (1 - SHADOW * shadow) * random.uniform(*POWER)
    room = random.uniform(*AMBIENT) * np.array(NIGHT)
    shown = _to_linear(pixels) * (room + light[..., None] * gel) + random.uniform(*HAZE) * beam[..., None] * gel
    return Image.fromarray(np.round(255 * _to_srgb(shown)).astype(np.uint8))


def find_subject(pixels: np.ndarray) -> np.ndarray:
    """Share of each pixel that belongs to the subject, (h, w) in 0..1: its distance from the background's colours.

    The background is a linear gradient in each channel, fitted to the border by least squares; of photographs with
    busy backgrounds more or less everything is "subject", and the shadow then vanishes.

    Args:
        pixels: (h, w, 3) in 0..1.
    """
    import numpy as np

    rows, columns = pixels.shape[:2]
    y, x = np.mgrid[:rows, :columns]
    terms = np.stack([np.ones((rows, columns)), x / columns, y / rows], 2)
    rim = max(1, min(rows, columns) // 16)
    border = np.ones((rows, columns), bool)
    border[rim:-rim, rim:-rim] = False
    fitted = np.linalg.lstsq(terms[border], pixels[border], rcond=None)[0]
    return _smooth_step(*DIFFERENT, np.abs(pixels - terms @ fitted).mean(2))


def _rotate(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances along the light's direction (away from the lamp) and across it."""
    return x * math.sin(angle) + y * math.cos(angle), x * math.cos(angle) - y * math.sin(angle)


def _smooth_step(start: float, end: float, value: np.ndarray) -> np.ndarray:
    """Smooth step: 0 at `start`, 1 at `end`, level at both."""
    import numpy as np

    share = np.clip((value - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


def _move(mask: np.ndarray, right: float, down: float) -> np.ndarray:
    """`mask` moved by whole pixels; what comes in is 0."""
    import numpy as np

    rows, columns = mask.shape
    dx, dy = round(right), round(down)
    moved = np.zeros_like(mask)
    to = (slice(max(0, dy), rows + min(0, dy)), slice(max(0, dx), columns + min(0, dx)))
    source = (slice(max(0, -dy), rows + min(0, -dy)), slice(max(0, -dx), columns + min(0, -dx)))
    moved[to] = mask[source]
    return moved


def _filter(mask: np.ndarray, by: ImageFilter.Filter) -> np.ndarray:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(np.round(255 * mask).astype(np.uint8)).filter(by), np.float64) / 255


def _to_linear(encoded: np.ndarray) -> np.ndarray:
    """sRGB (IEC 61966-2-1) in 0..1 to linear light."""
    import numpy as np

    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB in 0..1; what is too bright is white."""
    import numpy as np

    bounded = np.clip(linear, 0, 1)
    return np.where(bounded <= 0.0031308, 12.92 * bounded, 1.055 * bounded ** (1 / 2.4) - 0.055)
