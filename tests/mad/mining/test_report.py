from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from mad.mining.report import ModelNames, Tile, _format_credit, draw_contact_sheet, render_page, thumbnail

NAMES = ModelNames("mini", "mini-strong")
HOSTILE = '"><script>alert(1)</script>.png'


def make_tile(image: str = "a.png", picture: bool = True, name: str = "volleyball") -> Tile:
    colour = Image.new("RGB", (8, 8), (200, 30, 30))
    return Tile(thumbnail(colour) if picture else None, image, "#1", name, 0.915, "basketball", 0.5)


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
    groups = pd.DataFrame(
        {"group_id": ["1-2"], "strong_class": ["<b>"], "base_class": ["&"], "size": [3], "distance": [2.0]}
    )
    overview = {"pool": HOSTILE}
    html = render_page(
        ModelNames(HOSTILE, "x"), overview, [(HOSTILE, HOSTILE, [make_tile(HOSTILE, name=HOSTILE)])], groups, skipped
    )
    assert "<script" not in html and "<img src=x" not in html and "<b></" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6


def test_the_page_needs_no_other_file() -> None:
    html = render_page(
        NAMES, {}, [("top", "about", [make_tile(), make_tile(picture=False)])], pd.DataFrame(), pd.DataFrame()
    )
    assert not re.search(r"""(?:src|href)=["'](?!data:|#section-)""", html)
    assert "default-src 'none'" in html
    assert "no longer opens" in html and "92%" in html


def test_the_page_leads_to_its_sections() -> None:
    html = render_page(
        NAMES, {}, [("top", "a", [make_tile()]), ("more", "b", [make_tile()])], pd.DataFrame(), pd.DataFrame()
    )
    assert re.findall(r'href="#(.*?)">(.*?)<', html) == [("section-1", "top"), ("section-2", "more")]
    assert re.findall(r'<h2 id="(.*?)">', html) == ["section-1", "section-2"]


def test_a_credit_is_a_link_only_to_a_web_address() -> None:
    row = dict.fromkeys(("owner", "owner_name", "title", "licence", "page_url"), "")
    assert _format_credit(None) == {}
    credited = {**row, "owner_name": "Ann", "licence": "CC BY 2.0"}
    for url in ("javascript:alert(1)", "http://example.org", "data:text/html,x", ""):
        assert _format_credit({**credited, "page_url": url}) == {"credit": "Ann, CC BY 2.0", "link": ""}
    credit = _format_credit({**credited, "title": HOSTILE, "page_url": 'https://example.org/"onclick="x'})
    html = render_page(NAMES, {}, [("top", "a", [replace(make_tile(), **credit)])], pd.DataFrame(), pd.DataFrame())
    assert '<a href="https://example.org/&#34;onclick=&#34;x"' in html and "<script" not in html
