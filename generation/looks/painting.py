"""An oil-painting look for real images: brush strokes that follow the picture, from a limited palette, lit as relief.

The strokes are those of Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes" (SIGGRAPH 1998):
from the largest brush to the smallest, a stroke begins wherever the canvas still differs from the picture blurred to
the brush's size, runs along the edges of that picture, and ends where the canvas is nearer to the picture than the
stroke's colour is. Blurring, the palette and drawing are Pillow's. (Pillow is there anyway. OpenCV's
`xphoto.oilPainting`, a filter of local modes, would be one more package of 60 MB, and leaves the flat areas of a
drawing as flat as they are.)

The published algorithm has neither palette nor relief. Here the picture is first toned towards a seeded pigment, a
stroke takes its colour from a palette that is cut from that, its bristles vary in shade and height, and the slope of
that height is lit from the upper left, as thick paint is. The numbers below were set by looking at the pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image, ImageDraw

SIDE = 192  # pixels of the short side of the canvas
LARGEST = (6.0, 10.0)  # radius of the largest brush, in pixels of the canvas; seeded
BRUSHES = (1.0, 0.5, 0.25)  # radii, as shares of the largest
GRID = 1.5  # side of the cells in which strokes begin, in radii; Hertzmann's f_g
COLOURS = (16, 32)  # of the palette; seeded
TOLERANCE = 15.0  # mean difference in 0..255 of a cell below which it gets no further stroke; Hertzmann's T
LENGTH = (2, 7)  # the shortest and the longest stroke, in steps of one radius
CURVATURE = 0.6  # how far a stroke turns with the edge at each step; Hertzmann's f_c
FLAT = 0.3  # slope of the luminance below which there is no edge to follow
PIGMENTS = ((92, 58, 36), (150, 104, 48), (70, 84, 110), (104, 40, 40), (64, 88, 66))  # umber, ochre, blue, red, green
TONE = (0.10, 0.28)  # how far the picture goes towards the pigment; seeded
SATURATION = 1.25
BRISTLES = (-0.6, 0.0, 0.6)  # where lines of another shade run in a stroke, as shares of its radius
RELIEF = 0.008  # share by which light changes for each level (0..255) and pixel of slope

Point = tuple[float, float]


@dataclass(frozen=True)
class _Picture:
    """Input of one layer of strokes, as nested lists (rows of columns), since numbers are read one by one."""

    target: list  # colours (r, g, b) of the blurred picture
    canvas: list  # colours painted so far
    colour: list  # number of the palette's nearest colour
    slope: list  # (along x, along y) of the blurred picture's luminance

    def is_nearer(self, x: int, y: int, colour: list) -> bool:
        """True if the canvas at (x, y) is nearer to the picture than `colour` is."""
        target = self.target[y][x]
        return _compute_distance(target, self.canvas[y][x]) < _compute_distance(target, colour)


def paint_in_oil(image: Image.Image, seed: int) -> Image.Image:
    """`image` (RGB, any size) as if painted in oil; the same seed paints the same picture, of the same size."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter

    random = np.random.default_rng(seed)
    scale = SIDE / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pigment = np.array(PIGMENTS[random.integers(len(PIGMENTS))], np.float32)
    large = _tone(image.resize(size, Image.Resampling.BICUBIC), pigment, random.uniform(*TONE))
    palette = _choose_palette(large, int(random.integers(*COLOURS, endpoint=True)))
    canvas = Image.new("RGB", size, tuple(int(value) for value in pigment))
    height = Image.new("L", size, 128)
    largest = random.uniform(*LARGEST)
    for share in BRUSHES:
        radius = max(2, round(share * largest))
        blurred = np.asarray(large.filter(ImageFilter.GaussianBlur(radius / 2)), np.float32)
        painted = np.asarray(canvas, np.float32)
        picture = _make_picture(blurred, painted, palette)
        starts = _find_starts(np.abs(painted - blurred).mean(2), round(GRID * radius), everywhere=share == max(BRUSHES))
        draw, relief = ImageDraw.Draw(canvas), ImageDraw.Draw(height)
        calm = random.uniform(0, math.pi)  # direction of a layer's strokes where there is no edge to follow, about
        for number in random.permutation(len(starts)):
            turn = calm + random.normal(0, 0.35)
            path = _trace_path(starts[number], picture, radius, (math.cos(turn), math.sin(turn)))
            x, y = starts[number]
            colour = palette[picture.colour[y][x]] + random.normal(0, 5, 3)
            _draw_stroke(draw, relief, path, radius, colour, random)
    smooth = np.asarray(height.filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    down, right = np.gradient(smooth)
    light = np.asarray(np.clip(1 + RELIEF * (down + right), 0.6, 1.4))[..., None]
    lit = np.clip(np.asarray(canvas, np.float32) * light, 0, 255).astype(np.uint8)
    return Image.fromarray(lit).resize(image.size, Image.Resampling.LANCZOS)


def _tone(image: Image.Image, pigment: np.ndarray, share: float) -> Image.Image:
    """`image` towards a pigment (3,), and a little more saturated."""
    import numpy as np
    from PIL import Image

    own = np.asarray(image, np.float32)
    toned = own + share * (pigment - own)
    grey = toned.mean(2, keepdims=True)
    return Image.fromarray(np.clip(grey + SATURATION * (toned - grey), 0, 255).astype(np.uint8))


def _choose_palette(image: Image.Image, count: int) -> np.ndarray:
    """The picture's own colours, at most `count` of them, by median cut: float32 (k, 3)."""
    import numpy as np

    quantised = image.quantize(count)
    used = 1 + int(np.asarray(quantised).max())
    return np.array(quantised.getpalette(), np.float32).reshape(-1, 3)[:used]


def _make_picture(blurred: np.ndarray, painted: np.ndarray, palette: np.ndarray) -> _Picture:
    """Arrays (h, w, 3) and the palette (k, 3) as a `_Picture`."""
    import numpy as np

    down, right = np.gradient(blurred @ np.array([0.299, 0.587, 0.114], np.float32))  # Rec. 601 luminance
    nearest = np.stack([np.abs(blurred - colour).sum(2) for colour in palette]).argmin(0)
    slope = np.stack([right, down], 2)
    return _Picture(blurred.tolist(), painted.tolist(), nearest.tolist(), slope.tolist())


def _find_starts(difference: np.ndarray, side: int, everywhere: bool) -> list[tuple[int, int]]:
    """Starts of strokes: the worst pixel (x, y) of each cell of `side` pixels that differs too much."""
    import numpy as np

    starts = []
    for top in range(0, difference.shape[0], side):
        for left in range(0, difference.shape[1], side):
            cell = difference[top : top + side, left : left + side]
            if everywhere or cell.mean() > TOLERANCE:
                y, x = np.unravel_index(cell.argmax(), cell.shape)
                starts.append((left + int(x), top + int(y)))
    return starts


def _trace_path(start: tuple[int, int], picture: _Picture, radius: int, calm: Point) -> list[Point]:
    """The points of one stroke, a radius apart."""
    rows, columns = len(picture.target), len(picture.target[0])
    colour = picture.target[start[1]][start[0]]
    x, y = float(start[0]), float(start[1])
    path: list[Point] = [(x, y)]
    before: Point | None = None
    for step in range(LENGTH[1]):
        if step >= LENGTH[0] and picture.is_nearer(int(x), int(y), colour):
            break
        right, down = picture.slope[int(y)][int(x)]
        dx, dy = _normalise((-down, right) if math.hypot(right, down) > FLAT else calm)
        if before is not None:
            side = -1 if before[0] * dx + before[1] * dy < 0 else 1
            bent = [CURVATURE * side * d + (1 - CURVATURE) * b for d, b in zip((dx, dy), before, strict=True)]
            dx, dy = _normalise((bent[0], bent[1]))
        x, y, before = x + radius * dx, y + radius * dy, (dx, dy)
        if not (0 <= x < columns and 0 <= y < rows):
            break
        path.append((x, y))
    return path


def _draw_stroke(
    draw: ImageDraw.ImageDraw,
    relief: ImageDraw.ImageDraw,
    path: list[Point],
    radius: int,
    colour: np.ndarray,
    random: np.random.Generator,
) -> None:
    """Draw a stroke with its bristles, and their heights on the relief."""
    level = int(random.integers(95, 145))
    for canvas, fill in ((draw, _to_fill(colour)), (relief, _to_level(level))):
        canvas.line(path, fill, 2 * radius, joint="curve")
        for x, y in (path[0], path[-1]):
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill)
    dx, dy = _normalise((path[-1][0] - path[0][0], path[-1][1] - path[0][1]))
    for share, shade in zip(BRISTLES, random.normal(0, 1, len(BRISTLES)), strict=True):
        line = [(x - dy * share * radius, y + dx * share * radius) for x, y in path]
        width = max(1, radius // 2)
        draw.line(line, _to_fill(colour + 7 * shade), width, joint="curve")
        relief.line(line, _to_level(level + 35 * shade), width, joint="curve")


def _to_fill(colour: np.ndarray) -> tuple[int, ...]:
    return tuple(_to_level(value) for value in colour.tolist())


def _to_level(value: float) -> int:
    return min(255, max(0, int(value)))


def _normalise(vector: Point) -> Point:
    length = math.hypot(*vector) or 1.0
    return vector[0] / length, vector[1] / length


def _compute_distance(first: list, second: list) -> float:
    return abs(first[0] - second[0]) + abs(first[1] - second[1]) + abs(first[2] - second[2])
