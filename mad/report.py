"""What a search found, as pictures: contact sheets (PNG) and one self-contained page of HTML."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import files, imagenet
from benchmark.images import BrokenImage

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image, ImageDraw, ImageFont

    from mad.competition import Found
    from mad.pool import Pool

ON_SHEET, IN_GROUP, GROUPS_SHOWN = 36, 24, 12  # pictures of the ranking, of a group, and groups with a sheet
LISTED = 100  # rows of the page's tables
TEMPLATE = Path(__file__).parent / "assets" / "report.html.jinja"
THUMBNAIL = 160  # pixels
GAP, MARGIN = 18, 32
INK, FAINT, PAPER, FRAME = "#1c2430", "#76808f", "#ffffff", "#eef1f5"
STRONG, BASE = "#0f7b55", "#c2410c"  # the suggested label, and the mistake


@dataclass(frozen=True)
class Rivals:
    """The two models' names, for people."""

    base: str
    strong: str


def write(out: Path, found: Found, skipped: pd.DataFrame, pool: Pool, rivals: Rivals, facts: Mapping[str, str]) -> None:
    """Write `sheets/*.png` and `report.html` into `out`; sheets that an earlier search left there go.

    Args:
        out: the search's folder.
        found: what the competition found.
        skipped: `image` and `error` of what did not decode.
        pool: where the pictures come from.
        rivals: the models' names.
        facts: what was searched and how, for the head of the page.
    """
    shown = [("ranking", "The top of the ranking", "the farthest apart first", found.ranking.head(ON_SHEET))]
    for group in found.groups.head(GROUPS_SHOWN).to_dict("records"):
        rows = found.membership[found.membership["group_id"] == group["group_id"]].head(IN_GROUP)
        about = f"{group['size']} images, {group['distance']:.4g} apart"
        shown.append((group["group_id"], group["group"], about, rows))

    pictures = _thumbnails(pool, {image for _, _, _, rows in shown for image in rows["image"]})
    sections = [(heading, about, _tiles(rows, pictures)) for _, heading, about, rows in shown if len(rows)]
    sheets = [out / "sheets" / f"{name}.png" for name, _, _, rows in shown if len(rows)]
    for sheet, (heading, about, tiles) in zip(sheets, sections, strict=True):
        with files.replacing(sheet) as temporary:
            contact_sheet(tiles, heading, about, rivals).save(temporary)
    for stale in {*(out / "sheets").glob("*.png")}.difference(sheets):
        stale.unlink()
    files.write_text(out / "report.html", page(rivals, facts, sections, found.groups, skipped))


# ---------------------------------------------------------------------------------------------- tiles


@dataclass(frozen=True)
class Tile:
    """A thumbnail (None where the picture no longer opens), both models' classes and their probabilities."""

    picture: Image.Image | None
    image: str
    note: str
    strong: str
    strong_probability: float
    base: str
    base_probability: float


def thumbnail(image: Image.Image) -> Image.Image:
    """The whole of an RGB image in a square of `THUMBNAIL` pixels; small ones are enlarged."""
    from PIL import Image, ImageOps

    return ImageOps.pad(image, (THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, color=FRAME)


def _thumbnails(pool: Pool, wanted: set[str]) -> dict[str, Image.Image]:
    pictures = {}
    for position, image in enumerate(pool.ids):
        if image in wanted:
            # It was whole when it was classified, but the folder is not ours.
            with contextlib.suppress(BrokenImage):
                pictures[image] = thumbnail(pool.open(position))
    return pictures


def _tiles(rows: pd.DataFrame, pictures: Mapping[str, Image.Image]) -> list[Tile]:
    names = imagenet.names()
    return [
        Tile(
            picture=pictures.get(row["image"]),
            image=row["image"],
            note=f"#{row['rank']}  ·  {row['distance']:.4g} apart",
            strong=names[row["strong_index"]],
            strong_probability=row["strong_probability"],
            base=names[row["base_index"]],
            base_probability=row["base_probability"],
        )
        for row in rows.to_dict("records")
    ]


# ------------------------------------------------------------------------------------- contact sheets


def contact_sheet(tiles: Sequence[Tile], title: str, about: str, rivals: Rivals, columns: int = 6) -> Image.Image:
    """A grid of thumbnails with what the stronger model says of each in green, the base model in red."""
    from PIL import Image, ImageDraw

    columns = max(4, min(columns, len(tiles)))  # room for the heading
    cell_width, cell_height = THUMBNAIL + GAP, THUMBNAIL + 64 + GAP
    top = MARGIN + 68
    rows = -(-len(tiles) // columns)
    size = (2 * MARGIN + columns * cell_width - GAP, top + rows * cell_height - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    room = size[0] - 2 * MARGIN
    draw.text((MARGIN, MARGIN - 8), _fit(draw, title, _font(24), room), INK, _font(24))
    left = float(MARGIN)
    for text, colour in (
        (f"{about}  ·  ", FAINT),
        (rivals.strong, STRONG),
        (" says,  ", FAINT),
        (rivals.base, BASE),
        (" says", FAINT),
    ):
        draw.text((left, MARGIN + 26), text, colour, _font(14))
        left += draw.textlength(text, _font(14))
    for i, tile in enumerate(tiles):
        corner = MARGIN + i % columns * cell_width, top + i // columns * cell_height
        _draw_tile(sheet, draw, tile, *corner)
    return sheet


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    if tile.picture is None:
        draw.rectangle((left, top, left + THUMBNAIL, top + THUMBNAIL), FRAME)
    else:
        sheet.paste(tile.picture, (left, top))
    font = _font(13)
    predictions = (
        (tile.strong, tile.strong_probability, STRONG),
        (tile.base, tile.base_probability, BASE),
    )
    for line, (name, probability, colour) in enumerate(predictions):
        y = top + THUMBNAIL + 6 + 18 * line
        number = f"{probability:.0%}"
        width = int(draw.textlength(number, font))
        draw.text((left, y), _fit(draw, name, font, THUMBNAIL - width - 8), colour, font)
        draw.text((left + THUMBNAIL - width, y), number, colour, font)
    draw.text((left, top + THUMBNAIL + 43), tile.note, FAINT, _font(11))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _fit(draw: ImageDraw.ImageDraw, text: str, font: Any, width: float) -> str:
    """`text` on one line, cut short to `width` pixels."""
    text = " ".join(text.split())
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "...", font) > width:
        text = text[:-1]
    return text.rstrip() + "..."


# ------------------------------------------------------------------------------------------- the page


def page(
    rivals: Rivals,
    facts: Mapping[str, str],
    sections: Iterable[tuple[str, str, Sequence[Tile]]],
    groups: pd.DataFrame,
    skipped: pd.DataFrame,
) -> str:
    """The report: one file that needs no other, loads nothing and runs no script.

    Whatever comes from outside (file names, error messages) is escaped by jinja2.

    Args:
        rivals: the models' names.
        facts: what was searched and how, in order.
        sections: (heading, explanation, tiles) of each grid of pictures.
        groups: from `mad.competition.groups`.
        skipped: `image` and `error` of what did not open.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = _data_uri
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        rivals=rivals,
        facts=facts,
        sections=sections,
        groups=groups.head(LISTED).to_dict("records"),
        skipped=skipped.head(LISTED).to_dict("records"),
        size=THUMBNAIL,
    )


def _data_uri(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode()
