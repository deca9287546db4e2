from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from mad.mining.report import ModelNames, Section, Tile, _format_credit, draw_contact_sheet, render_page, thumbnail

NAMES = ModelNames("mini", "mini-strong")
HOSTILE = '"><script>alert(1)</script>.png'


def make_tile(image: str = "a.png", picture: bool = True, name: str = "volleyball") -> Tile:
    colour = Image.new("RGB", (8, 8), (200, 30, 30))
    return Tile(thumbnail(colour) if picture else None, image, "#1", name, 0.915, "basketball", 0.5)


def render(
    *sections: Section,
    names: ModelNames = NAMES,
    overview: Mapping[str, str] | None = None,
    groups: pd.DataFrame | None = None,
    skipped: pd.DataFrame | None = None,
    folder: str = "out/mad",
) -> str:
    """The page of `sections`, by default without groups and skipped images."""
    empty = pd.DataFrame()
    return render_page(
        Path(folder),
        names,
        overview or {},
        "edges",
        sections,
        empty if groups is None else groups,
        empty if skipped is None else skipped,
    )


GROUPS = pd.DataFrame(
    {"group_id": ["1-2", "3-4"], "strong_class": ["<b>", "x"], "base_class": ["&", "y"], "size": 3, "distance": 2.0}
)


@pytest.mark.parametrize("size", [(8, 8), (2000, 10), (3, 700)])
def test_thumbnails_are_square_and_whole(size: tuple[int, int]) -> None:
    square = thumbnail(Image.new("RGB", size, (10, 20, 30)))
    assert square.size == (160, 160)
    assert square.getpixel((80, 80)) == (10, 20, 30)


@pytest.mark.parametrize("count", [1, 2, 6, 7, 36])
def test_contact_sheets_hold_every_picture(count: int) -> None:
    sheet = draw_contact_sheet([make_tile() for _ in range(count)], "A title", "about", NAMES)
    red = sum(colour == (200, 30, 30) for colour in sheet.get_flattened_data())
    assert red == count * 160 * 160


def test_contact_sheets_survive_long_names_and_lost_pictures() -> None:
    sheet = draw_contact_sheet([make_tile(picture=False, name="n" * 99)], "title " * 40, "about", NAMES)
    assert sheet.width < 1200


def test_the_page_escapes_what_comes_from_outside() -> None:
    skipped = pd.DataFrame({"image": [HOSTILE], "error": ["<img src=x onerror=alert(2)>"]})
    html = render(
        Section("1-2", HOSTILE, HOSTILE, [make_tile(HOSTILE, name=HOSTILE)]),
        names=ModelNames(HOSTILE, "x"),
        overview={"pool": HOSTILE},
        groups=GROUPS,
        skipped=skipped,
        folder=HOSTILE,
    )
    assert "<script" not in html and "<img src=x" not in html and "<b></" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6


def test_the_page_needs_no_other_file() -> None:
    html = render(Section("ranking", "top", "about", [make_tile(), make_tile(picture=False)]))
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert "default-src 'none'" in html
    assert "no longer opens" in html and "92%" in html


def test_the_page_leads_to_its_sections_and_back() -> None:
    html = render(
        Section("ranking", "top", "a", [make_tile()]), Section("3-4", "more", "b", [make_tile()]), groups=GROUPS
    )
    links = re.findall(r'href="#(.*?)"', html)
    assert set(links) == {"next", "ranking", "3-4", "groups", "contents"} <= set(re.findall(r'id="(.*?)"', html))
    assert links.count("contents") == 4, "one at each section, the table and the next steps"
    assert links.count("3-4") == 2, "in the contents and in the table; 1-2 has no pictures"


def test_a_picture_is_described_by_what_both_models_say() -> None:
    html = render(Section("ranking", "top", "a", [make_tile("0f" * 32)]))
    assert re.findall(r'alt="(.*?)"', html) == ["mini-strong says volleyball, mini says basketball"]


def test_the_next_commands_name_the_folder() -> None:
    html = render(groups=GROUPS, folder="a folder/mad")
    commands = [line for block in re.findall(r"<pre><code>(.*?)</code>", html, re.S) for line in block.splitlines()]
    assert [re.sub("</?span>", "", command).replace("&#39;", "'") for command in commands] == [
        "python -m mad.review 'a folder/mad' --annotator NAME",
        "python -m mad.review 'a folder/mad' --annotator ann",
        "python -m mad.review 'a folder/mad' --annotator bo",
        "python -m mad.review status 'a folder/mad'",
        "python -m mad.review export 'a folder/mad' --out groups",
    ]
    assert "python -m" not in render() and "--min-group 1" in render(), "without a group there is nothing to review"


def test_a_credit_is_a_link_only_to_a_web_address() -> None:
    row = dict.fromkeys(("owner", "owner_name", "title", "licence", "page_url"), "")
    assert _format_credit(None) == {}
    credited = {**row, "owner_name": "Ann", "licence": "CC BY 2.0"}
    for url in ("javascript:alert(1)", "http://example.org", "data:text/html,x", ""):
        assert _format_credit({**credited, "page_url": url}) == {"credit": "Ann, CC BY 2.0", "link": ""}
    credit = _format_credit({**credited, "title": HOSTILE, "page_url": 'https://example.org/"onclick="x'})
    html = render(Section("ranking", "top", "a", [replace(make_tile(), **credit)]))
    assert '<a href="https://example.org/&#34;onclick=&#34;x"' in html and "<script" not in html
