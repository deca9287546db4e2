"""The page of a report in a real Chromium, opened from disk: at a desk and on a phone, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.text import duration
from leaderboard.claims.rules import HOLDS
from leaderboard.report.content import read_content
from tests.browser_checks import check_page, watch


def open_all(tab: Any) -> None:
    """Open whatever can be opened."""
    tab.locator("details").evaluate_all("all => all.forEach(e => { e.open = true; })")


@pytest.fixture
def tab(browser: Any, report: Path) -> Iterator[Any]:
    """The page on a phone; at the end nothing has complained, and nothing was asked for but the page."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    with watch(page, report.as_uri()):
        page.goto(f"{report.as_uri()}/report.html")
        yield page
    page.close()


@pytest.mark.parametrize("prepare", [lambda tab: None, open_all], ids=["as it opens", "with all details"])
def test_the_page_keeps_the_rules(browser: Any, report: Path, prepare: Any) -> None:
    url = f"{report.as_uri()}/report.html"
    check_page(browser, url, url, prepare)


def test_claims_are_shown_by_verdict_with_the_keyboard(tab: Any, report: Path) -> None:
    claims = read_content(report).claims
    shown = tab.locator(".judgement:visible")
    everything = shown.count()
    tab.get_by_label("all", exact=True).focus()
    tab.keyboard.press("ArrowRight")
    assert 0 < shown.count() < everything
    assert set(shown.locator(".verdict").all_inner_texts()) == {HOLDS}
    holding = {row.says for row in claims if row.verdict == HOLDS}
    assert set(tab.locator(".claim:visible b").all_inner_texts()) == holding


def test_a_figure_is_as_wide_as_it_was_drawn_and_scrolls_in_itself(tab: Any) -> None:
    picture = tab.locator("#figure-4 img")
    assert picture.evaluate("e => e.complete && e.naturalWidth") > 600
    box = tab.locator("#figure-4 .scroll")
    assert box.evaluate("e => e.scrollWidth > e.clientWidth && e.tabIndex === 0")


def test_a_hostile_name_is_text(tab: Any) -> None:
    assert tab.locator("script").count() == 0
    assert "<script>alert(1)</script>\\x07%{x}<b>.py:MyEditor" in tab.locator("#main").inner_text()


def test_times_are_read_at_a_glance() -> None:
    assert [duration(seconds) for seconds in (None, 40.2, 720, 12240)] == ["–", "40 s", "12 min", "3.4 h"]
