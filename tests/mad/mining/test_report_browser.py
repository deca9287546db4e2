"""The report of a search in a real Chromium, opened from the disk."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from mad.mining.report import ModelNames, Section, Tile, render_page, thumbnail
from tests.browser_checks import check_page
from tests.mad.searching import call

LONG = "a_name_without_a_space_" * 8


def test_the_report_of_a_search(browser, pair, pictures: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (pictures / f"{LONG}.png").write_text("no image")
    call("--pair", pair, "--pool", pictures, "--out", "out", "--min-group", 1)
    url = (tmp_path / "out" / "report.html").as_uri()
    check_page(browser, url, url)

    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(url)
    first = pd.read_csv(tmp_path / "out" / "ranking.csv").iloc[0]
    alt = page.get_attribute("img", "alt")
    assert f"says {first['strong_class']}, " in alt and alt.endswith(f"says {first['base_class']}")
    group = pd.read_csv(tmp_path / "out" / "groups.csv")["group_id"][3]
    page.click(f".contents a[href='#{group}']")
    assert page.locator(f"[id='{group}']").bounding_box()["y"] < 100, "a group is one tap from the contents"
    page.mouse.wheel(0, 150)
    page.click(f"div:has(> [id='{group}']) a")
    assert 0 <= page.locator("#contents").bounding_box()["y"] < 844, "and the contents one tap from a group"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "A", "links are reached by the keyboard"
    page.close()


@pytest.mark.parametrize("size", [0, 3])
def test_names_of_any_length_fit(browser, tmp_path: Path, size: int) -> None:
    picture = thumbnail(Image.new("RGB", (8, 8), (200, 30, 30)))
    tile = Tile(picture, LONG, LONG, LONG, 0.5, LONG, 0.5, credit=LONG, link=f"https://example.org/{LONG}")
    sections = [Section("1-2", LONG, LONG, [tile, tile])] if size else []
    groups = pd.DataFrame({"group_id": ["1-2", "3-4"], "strong_class": LONG, "base_class": LONG, "size": size})
    skipped = pd.DataFrame({"image": [LONG], "error": [LONG]})
    html = render_page(
        tmp_path / LONG[:90],
        ModelNames(LONG, LONG),
        {"pool": LONG},
        "edges",
        sections,
        groups.assign(distance=2.0)[: 2 * (size > 0)],
        skipped,
    )
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    url = (tmp_path / "page.html").as_uri()
    check_page(browser, url, url)
