"""Contact sheets: labelled images as a grid of thumbnails in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchmark.core.text import printable

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

THUMBNAIL = 160  # pixels
GAP, MARGIN = 18, 32
INK, FAINT, PAPER, FRAME = "#1c2430", "#5f6975", "#ffffff", "#eef1f5"


@dataclass(frozen=True)
class Line:
    """Text below a thumbnail, cut short where it does not fit, and a number at the right that is never cut."""

    text: str
    colour: str = INK
    number: str = ""


@dataclass(frozen=True)
class Cell:
    """A thumbnail (None where the picture does not open), at most two lines below it, and a smaller note."""

    picture: Image.Image | None
    lines: tuple[Line, ...]
    note: str = ""


def thumbnail(image: Image.Image) -> Image.Image:
    """The whole of an RGB image in a square of `THUMBNAIL` pixels; small ones are enlarged."""
    from PIL import Image, ImageOps

    return ImageOps.pad(image, (THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, color=FRAME)


def contact_sheet(cells: Sequence[Cell], title: str, about: Sequence[tuple[str, str]], columns: int = 6) -> Image.Image:
    """A grid of thumbnails, at most `columns` a row, below a title and a line of (text, colour) pieces."""
    from PIL import Image, ImageDraw

    columns = max(4, min(columns, len(cells)))  # room for the heading
    cell_width, cell_height = THUMBNAIL + GAP, THUMBNAIL + 64 + GAP
    top = MARGIN + 68
    rows = -(-len(cells) // columns)
    size = (2 * MARGIN + columns * cell_width - GAP, top + rows * cell_height - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    room = size[0] - 2 * MARGIN
    draw.text((MARGIN, MARGIN - 8), _fit(draw, title, _font(24), room), INK, _font(24))
    left = float(MARGIN)
    for text, colour in about:
        text = _fit(draw, text, _font(14), MARGIN + room - left)
        draw.text((left, MARGIN + 26), text, colour, _font(14))
        left += draw.textlength(text, _font(14))
    for i, cell in enumerate(cells):
        _draw_cell(sheet, draw, cell, MARGIN + i % columns * cell_width, top + i // columns * cell_height)
    return sheet


def _draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, left: int, top: int) -> None:
    if cell.picture is None:
        draw.rectangle((left, top, left + THUMBNAIL, top + THUMBNAIL), FRAME)
    else:
        sheet.paste(cell.picture, (left, top))
    font = _font(13)
    for number, line in enumerate(cell.lines):
        y = top + THUMBNAIL + 6 + 18 * number
        width = int(draw.textlength(line.number, font))
        gap = 8 if line.number else 0
        draw.text((left, y), _fit(draw, line.text, font, THUMBNAIL - width - gap), line.colour, font)
        draw.text((left + THUMBNAIL - width, y), line.number, line.colour, font)
    draw.text((left, top + THUMBNAIL + 43), _fit(draw, cell.note, _font(12), THUMBNAIL), FAINT, _font(12))


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _fit(draw: ImageDraw.ImageDraw, text: str, font: Any, width: float) -> str:
    """`text` on one line, cut short to `width` pixels; empty where no letter fits."""
    text = printable(" ".join(text.splitlines()))
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "...", font) > width:
        text = text[:-1]
    return text.rstrip() + "..." if text else ""
