"""Report of a search: contact sheets (PNG) and one self-contained page of HTML."""

from __future__ import annotations

import base64
import contextlib
import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core import files
from benchmark.core.text import fill_template
from benchmark.images import sheets
from benchmark.images.decode import BrokenImage
from benchmark.images.sheets import FAINT, THUMBNAIL, Cell, Line, thumbnail
from benchmark.labels import imagenet

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from benchmark.images.source import ImageSource
    from mad.mining.competition import SearchResult

ON_SHEET, IN_GROUP, GROUPS_SHOWN = 36, 24, 12  # pictures of the ranking, of a group, and groups with a sheet
LISTED = 100  # rows of the page's tables
TEMPLATE = Path(__file__).parent / "assets" / "report.html.jinja"
STRONG, BASE = "#0f7b55", "#c2410c"  # the suggested label, and the mistake


@dataclass(frozen=True)
class ModelNames:
    """The two models' names, for people."""

    base: str
    strong: str


@dataclass(frozen=True)
class Section:
    """A heading, a few words about it, and its tiles; `id` is that of the group, or "ranking"."""

    id: str
    heading: str
    about: str
    tiles: Sequence[Tile]


def write(
    out: Path,
    result: SearchResult,
    skipped: pd.DataFrame,
    pool: ImageSource,
    names: ModelNames,
    overview: Mapping[str, str],
    unit: str,
    credits: pd.DataFrame,
) -> list[str]:
    """Write `sheets/*.png` and `report.html` into `out`; return the names of the files.

    Args:
        out: the search's folder.
        result: of the competition.
        skipped: `image` and `error` of images that did not decode.
        pool: source of the pictures.
        names: the models' names.
        overview: pool, models and rules of the search, for the head of the page.
        unit: of the distances, a word of `mad.mining.wordnet.UNITS`.
        credits: from `mad.crawling.credits.read_attribution`; a picture's owner there is named under the picture.
    """
    shown = [("ranking", "The top of the ranking", "the farthest apart first", result.ranking.head(ON_SHEET))]
    start = 0  # the members are in the groups' order
    for group in result.groups.head(GROUPS_SHOWN).to_dict("records"):
        rows = result.membership.iloc[start : start + min(group["size"], IN_GROUP)]
        start += group["size"]
        about = f"{len(rows)} of {group['size']} images" if len(rows) < group["size"] else f"{len(rows)} images"
        shown.append((group["group_id"], group["group"], f"{about}, {group['distance']:.4g} {unit} apart", rows))

    pictures = _make_thumbnails(pool, {image for _, _, _, rows in shown for image in rows["image"]})
    by_image = credits.set_index("image").to_dict("index")
    sections = [
        Section(id, heading, about, _make_tiles(rows, unit, pictures, by_image))
        for id, heading, about, rows in shown
        if len(rows)
    ]
    for section in sections:
        with files.replacing(out / "sheets" / f"{section.id}.png") as temporary:
            draw_contact_sheet(section.tiles, section.heading, section.about, names).save(temporary)
    page = render_page(out, names, overview, unit, sections, result.groups, skipped)
    files.write_text(out / "report.html", page)
    return ["report.html", *(f"sheets/{section.id}.png" for section in sections)]


# ---------------------------------------------------------------------------------------------- tiles


@dataclass(frozen=True)
class Tile:
    """A thumbnail (None where the picture no longer opens), both models' classes and their probabilities.

    `credit` names the picture's creator and licence, `link` its page: Flickr asks for the link back (SPEC, 7).
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


def _make_thumbnails(pool: ImageSource, images: set[str]) -> dict[str, Image.Image]:
    pictures = {}
    for position, image in enumerate(pool.ids):
        if image in images:
            # It was whole when it was classified, but the folder is not ours.
            with contextlib.suppress(BrokenImage):
                pictures[image] = thumbnail(pool.open(position))
    return pictures


def _make_tiles(
    rows: pd.DataFrame, unit: str, pictures: Mapping[str, Image.Image], credits: Mapping[str, Mapping[str, str]]
) -> list[Tile]:
    class_names = imagenet.names()
    return [
        Tile(
            **_format_credit(credits.get(row["image"])),
            picture=pictures.get(row["image"]),
            image=row["image"],
            note=f"#{row['rank']}  ·  {row['distance']:.4g} {unit} apart",
            strong=class_names[row["strong_index"]],
            strong_probability=row["strong_probability"],
            base=class_names[row["base_index"]],
            base_probability=row["base_probability"],
        )
        for row in rows.to_dict("records")
    ]


def _format_credit(row: Mapping[str, str] | None) -> dict[str, str]:
    """Creator, title and licence. Only a web address becomes a link: a table may say `javascript:`."""
    if row is None:
        return {}
    creator = row["owner_name"] or row["owner"]
    credit = ", ".join(part for part in (creator, row["title"], row["licence"]) if part)
    return {"credit": credit, "link": row["page_url"] if row["page_url"].startswith("https://") else ""}


# ------------------------------------------------------------------------------------- contact sheets


def draw_contact_sheet(tiles: Sequence[Tile], title: str, about: str, names: ModelNames) -> Image.Image:
    """A grid of thumbnails: below each the stronger model's prediction in green, the base model's in red."""
    legend = (
        (f"{about}  ·  ", FAINT),
        (names.strong, STRONG),
        (" says,  ", FAINT),
        (names.base, BASE),
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


def render_page(
    folder: Path,
    names: ModelNames,
    overview: Mapping[str, str],
    unit: str,
    sections: Sequence[Section],
    groups: pd.DataFrame,
    skipped: pd.DataFrame,
) -> str:
    """The report: one file that needs no other, loads nothing and runs no script.

    Its links lead to a place on the page, or to the page of a picture whose licence asks for it.

    Args:
        folder: the search's, as the next commands name it.
        names: the models' names.
        overview: pool, models and rules of the search, in order.
        unit: of the distances, a word of `mad.mining.wordnet.UNITS`.
        sections: the grids of pictures.
        groups: from `mad.mining.competition.find_groups`.
        skipped: `image` and `error` of images that did not open.
    """
    return fill_template(
        TEMPLATE,
        encode=_encode_data_uri,
        folder=shlex.quote(str(folder)),
        names=names,
        overview=overview,
        unit=unit,
        sections=sections,
        pictured={section.id for section in sections},
        n_groups=len(groups),
        groups=groups.head(LISTED).to_dict("records"),
        n_skipped=len(skipped),
        skipped=skipped.head(LISTED).to_dict("records"),
        size=THUMBNAIL,
    )


def _encode_data_uri(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode()
