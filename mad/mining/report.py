"""What a search found, as pictures: contact sheets (PNG) and one self-contained page of HTML."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core import files
from benchmark.images import sheets
from benchmark.images.decode import BrokenImage
from benchmark.images.sheets import FAINT, THUMBNAIL, Cell, Line, thumbnail
from benchmark.labels import imagenet

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from benchmark.images.source import ImageSource
    from mad.mining.competition import Found

ON_SHEET, IN_GROUP, GROUPS_SHOWN = 36, 24, 12  # pictures of the ranking, of a group, and groups with a sheet
LISTED = 100  # rows of the page's tables
TEMPLATE = Path(__file__).parent / "assets" / "report.html.jinja"
STRONG, BASE = "#0f7b55", "#c2410c"  # the suggested label, and the mistake


@dataclass(frozen=True)
class Rivals:
    """The two models' names, for people."""

    base: str
    strong: str


def write(
    out: Path,
    found: Found,
    skipped: pd.DataFrame,
    pool: ImageSource,
    rivals: Rivals,
    facts: Mapping[str, str],
    credits: pd.DataFrame,
) -> None:
    """Write `sheets/*.png` and `report.html` into `out`; sheets that an earlier search left there go.

    Args:
        out: the search's folder.
        found: what the competition found.
        skipped: `image` and `error` of what did not decode.
        pool: where the pictures come from.
        rivals: the models' names.
        facts: what was searched and how, for the head of the page.
        credits: from `mad.crawling.credits.attribution`; whoever is named there is named under the picture.
    """
    shown = [("ranking", "The top of the ranking", "the farthest apart first", found.ranking.head(ON_SHEET))]
    start = 0  # the members are in the groups' order
    for group in found.groups.head(GROUPS_SHOWN).to_dict("records"):
        rows = found.membership.iloc[start : start + min(group["size"], IN_GROUP)]
        start += group["size"]
        about = f"{group['size']} images, {group['distance']:.4g} apart"
        shown.append((group["group_id"], group["group"], about, rows))

    pictures = _thumbnails(pool, {image for _, _, _, rows in shown for image in rows["image"]})
    by_image = credits.set_index("image").to_dict("index")
    sections = [(heading, about, _tiles(rows, pictures, by_image)) for _, heading, about, rows in shown if len(rows)]
    paths = [out / "sheets" / f"{name}.png" for name, _, _, rows in shown if len(rows)]
    for path, (heading, about, tiles) in zip(paths, sections, strict=True):
        with files.replacing(path) as temporary:
            contact_sheet(tiles, heading, about, rivals).save(temporary)
    for stale in {*(out / "sheets").glob("*.png")}.difference(paths):
        stale.unlink()
    files.write_text(out / "report.html", page(rivals, facts, sections, found.groups, skipped))


# ---------------------------------------------------------------------------------------------- tiles


@dataclass(frozen=True)
class Tile:
    """A thumbnail (None where the picture no longer opens), both models' classes and their probabilities.

    `credit` says whose picture it is, `link` where: Flickr asks for the link back (SPEC, 7).
    """

    picture: Image.Image | None
    image: str
    note: str
    strong: str
    strong_probability: float
    base: str
    base_probability: float
    credit: str = ""
    link: str = ""


def _thumbnails(pool: ImageSource, wanted: set[str]) -> dict[str, Image.Image]:
    pictures = {}
    for position, image in enumerate(pool.ids):
        if image in wanted:
            # It was whole when it was classified, but the folder is not ours.
            with contextlib.suppress(BrokenImage):
                pictures[image] = thumbnail(pool.open(position))
    return pictures


def _tiles(
    rows: pd.DataFrame, pictures: Mapping[str, Image.Image], credits: Mapping[str, Mapping[str, str]]
) -> list[Tile]:
    names = imagenet.names()
    return [
        Tile(
            **_credit(credits.get(row["image"])),
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


def _credit(row: Mapping[str, str] | None) -> dict[str, str]:
    """Creator, title and licence. Only a web address becomes a link: a table may say `javascript:`."""
    if row is None:
        return {}
    who = row["owner_name"] or row["owner"]
    credit = ", ".join(part for part in (who, row["title"], row["licence"]) if part)
    return {"credit": credit, "link": row["page_url"] if row["page_url"].startswith("https://") else ""}


# ------------------------------------------------------------------------------------- contact sheets


def contact_sheet(tiles: Sequence[Tile], title: str, about: str, rivals: Rivals) -> Image.Image:
    """A grid of thumbnails with what the stronger model says of each in green, the base model in red."""
    legend = (
        (f"{about}  ·  ", FAINT),
        (rivals.strong, STRONG),
        (" says,  ", FAINT),
        (rivals.base, BASE),
        (" says", FAINT),
    )
    cells = [
        Cell(
            tile.picture,
            (
                Line(tile.strong, STRONG, f"{tile.strong_probability:.0%}"),
                Line(tile.base, BASE, f"{tile.base_probability:.0%}"),
            ),
            tile.note,
        )
        for tile in tiles
    ]
    return sheets.contact_sheet(cells, title, legend)


# ------------------------------------------------------------------------------------------- the page


def page(
    rivals: Rivals,
    facts: Mapping[str, str],
    sections: Sequence[tuple[str, str, Sequence[Tile]]],
    groups: pd.DataFrame,
    skipped: pd.DataFrame,
) -> str:
    """The report: one file that needs no other, loads nothing and runs no script.

    Its links lead to a place on the page, or to the page of a picture that asks for it.

    Whatever comes from outside (file names, error messages) is escaped by jinja2.

    Args:
        rivals: the models' names.
        facts: what was searched and how, in order.
        sections: (heading, explanation, tiles) of each grid of pictures.
        groups: from `mad.mining.competition.groups`.
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
