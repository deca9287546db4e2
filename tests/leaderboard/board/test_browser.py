"""The board in a real Chromium, opened from disk: what a visitor does there, at a desk and on a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.text import printable
from tests.browser_checks import check_page, watch
from tests.leaderboard.board.conftest import HOSTILE, Runs

DIMMED = """new Promise((resolve, reject) => {
  const look = () => plot.data.some(({ opacity }) => opacity < 1) ? resolve() : setTimeout(look, 20);
  look();
  setTimeout(() => reject("no point is dim"), 20000);
})"""


@pytest.fixture
def page(browser, site: Path) -> Iterator[Callable[[str], Any]]:
    """Open a page of the site; at the end nothing has complained, and nothing was asked for but files of the site."""
    tab = browser.new_page(viewport={"width": 1400, "height": 900})

    def visit(name: str) -> Any:
        tab.goto(f"{site.as_uri()}/{name}")
        return tab

    with watch(tab, site.as_uri()):
        yield visit
    tab.close()


def cells(tab: Any, column: int) -> Any:
    return tab.locator(f"#runs tbody tr > :nth-child({column})")


def per_cent(values: Iterable[float]) -> list[str]:
    return [f"{100 * value:.1f}" for value in values]


@pytest.mark.parametrize("name", ["index.html", "editors", "groups", "side-by-side.html", "submit.html"])
def test_every_kind_of_page_keeps_the_rules(browser, site: Path, name: str) -> None:
    files = [site / name] if (site / name).is_file() else sorted((site / name).iterdir())
    for file in files[:1] + files[1:][-1:]:
        prepare = (lambda tab: tab.wait_for_selector("#pair tbody img")) if "side" in name else (lambda tab: None)
        check_page(browser, file.as_uri(), site.as_uri(), prepare)


def test_the_table_is_sorted_and_filtered_by_mouse_and_keyboard(page, runs: Runs) -> None:
    from playwright.sync_api import expect

    tab = page("index.html")
    by_gr = sorted(record.scores["gr"].value for _, record in runs)
    by_lr = sorted(record.scores["lr"].value for _, record in runs)
    expect(cells(tab, 2)).to_have_text(per_cent(by_gr[::-1]))
    tab.locator("#runs thead th", has_text="LR").first.click()
    expect(cells(tab, 3)).to_have_text(per_cent(by_lr))
    tab.locator("#runs thead th", has_text="GR all").locator("[tabindex]").first.focus()
    tab.keyboard.press("Enter")
    expect(cells(tab, 2)).to_have_text(per_cent(by_gr))
    name = runs[0][1].editor.name
    tab.get_by_label("Filter").fill(name)
    shown = cells(tab, 1).all_inner_texts()
    assert shown and len(shown) < len(runs) and all(name in title for title in shown)
    tab.evaluate(DIMMED)  # the page lets nobody else evaluate strings, which wait_for_function would


def test_points_have_names_and_intervals_and_lead_to_their_pages(page, runs: Runs) -> None:
    tab = page("index.html")
    tab.wait_for_selector("#plot .points path")
    assert tab.locator("#plot .errorbars path:visible").count() == 0
    tab.get_by_label("95 % intervals").check()
    assert tab.locator("#plot .errorbars path").count() >= len(runs)
    _, record = max(runs, key=lambda run: run[1].scores["gr"].value)
    point = tab.evaluate(
        """(gr) => {
          const plot = document.getElementById("plot"), axes = plot._fullLayout, box = plot.getBoundingClientRect();
          const trace = plot.data.find(({ x }) => x.some((value) => Math.abs(value - gr) < 0.01));
          const number = trace.x.findIndex((value) => Math.abs(value - gr) < 0.01);
          return [box.x + axes.xaxis._offset + axes.xaxis.l2p(trace.x[number]),
                  box.y + axes.yaxis._offset + axes.yaxis.l2p(trace.y[number])];
        }""",
        100 * record.scores["gr"].value,
    )
    tab.mouse.move(*point)
    tab.wait_for_selector(".hoverlayer .hovertext")
    words = tab.locator(".hoverlayer .hovertext").first.text_content()
    assert printable(record.editor.spec) in words and f"GR {100 * record.scores['gr'].value:.1f} [" in words
    tab.mouse.click(*point)
    tab.wait_for_url("**/editors/*.html")
    assert tab.locator("h1").inner_text() == printable(record.editor.spec)


def test_a_hostile_name_is_text(page) -> None:
    tab = page("index.html")
    shown = HOSTILE.replace("\x07", "\\x07")
    tab.get_by_label("Filter").fill("alert(1)")
    assert cells(tab, 1).all_inner_texts() == [shown]
    tab.locator("#runs tbody a").click()
    assert tab.locator("h1").inner_text() == shown and shown in tab.title()
    tab.get_by_role("link", name="Put it beside another").click()
    tab.wait_for_selector("#both tbody tr")
    assert tab.locator("#both thead th").nth(1).text_content() == shown
    assert tab.locator("script", has_text="alert").count() == 0


def test_two_editors_stand_side_by_side(page, runs: Runs) -> None:
    from playwright.sync_api import expect

    tab = page("side-by-side.html")
    tab.wait_for_selector("#pair tbody img")
    first, second = (record for _, record in runs[:2])
    tab.get_by_label("First editor").select_option(label=first.editor.spec)
    tab.get_by_label("Second editor").select_option(label=second.editor.spec)
    both = tab.locator("#both tbody tr", has_text="GR all").locator("td")
    expect(tab.locator("#both thead th")).to_have_text(["", first.editor.spec, second.editor.spec])
    values = [text.split(" ")[0] for text in both.all_inner_texts()]
    assert values == per_cent(record.scores["gr"].value for record in (first, second))
    tab.get_by_label("Images").select_option(index=1)
    n_images = int(tab.locator("#pair_info").inner_text().split(" ")[-2])
    everything = tab.evaluate("self.images.rows.length")
    assert 1 < n_images < everything and "#a=" in tab.url
    tab.reload()
    tab.wait_for_selector("#pair tbody img")
    assert tab.locator("#pair_info").inner_text().split(" ")[-2] == str(n_images), "an address is a comparison"


def test_the_keyboard_reaches_everything(page) -> None:
    tab = page("index.html")
    reached = set()
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("(({ tagName, type }) => tagName + (type ? ':' + type : ''))(document.activeElement)"))
    assert {"A", "INPUT:checkbox", "INPUT:search"} <= reached
    tab.get_by_label("95 % intervals").focus()
    tab.keyboard.press("Space")
    assert tab.get_by_label("95 % intervals").is_checked()
