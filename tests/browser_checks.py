"""Rules that every page of ours keeps in a real browser, at a desk and on a phone, in light and dark."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

WIDTHS, SCHEMES = (1400, 390), ("light", "dark")
CONTRAST = 4.5  # WCAG 2.2, 1.4.3 (AA), of text below 24 px

# Luminance and contrast as WCAG 2.2 defines them, of each visible text against the first opaque background behind it.
LOW_CONTRAST = """(least) => {
  const rgba = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = rgba(colour).slice(0, 3)
      .map((value) => value / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opaque = (colour) => { const [, , , alpha = 1] = rgba(colour); return alpha === 1; };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (opaque(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const low = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, text = texts.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest("[aria-disabled=true]")) continue;
    const background = behind(element), style = getComputedStyle(element);
    const ink = rgba(element instanceof SVGElement ? style.fill : style.color).slice(0, 3);
    const seen = rgba(background).slice(0, 3).map((c, i) => style.opacity * ink[i] + (1 - style.opacity) * c);
    const [a, b] = [luminance(`rgb(${seen})`), luminance(background)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least) low.push(`${contrast.toFixed(2)}: ${text}`);
  }
  return low;
}"""
WIDER_THAN_PAGE = """() => [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
  && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1
  && getComputedStyle(element).position !== "absolute").map((element) => element.outerHTML.slice(0, 200))"""


@contextmanager
def watch(page: Any, origin: str) -> Iterator[None]:
    """Fail at the end if the page complained, or asked for anything that does not begin with `origin`."""
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    yield
    assert complaints == []
    assert [url for url in requests if not url.startswith((origin, "data:"))] == []


def check_page(browser: Any, url: str, origin: str, prepare: Callable[[Any], None] = lambda page: None) -> None:
    """Open `url` at each width in each scheme, bring it into a state by `prepare`, and check it there."""
    for width, scheme in itertools.product(WIDTHS, SCHEMES):
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        with watch(page, origin):
            page.goto(url)
            prepare(page)
            check_state(page, f"{url} at {width} px, {scheme}")
        page.close()


def leads_somewhere(page: Any, address: str) -> bool:
    """Return whether a link leads to the web, to a place on the page, or to a page (and a place there) beside it."""
    if address.startswith("https://"):
        return True
    file, _, place = address.partition("#")
    if not file:
        return page.locator(f"[id='{place}']").count() == 1
    path = Path(url2pathname(urlsplit(urljoin(page.url, file)).path))
    is_known = not place or "=" in place or f'id="{place}"' in path.read_text(encoding="utf-8")
    return path.is_file() and is_known


def check_state(page: Any, where: str) -> None:
    """Check the page as it stands: language, title, headings, pictures, links, contrast, width."""
    assert page.get_attribute("html", "lang") == "en" and page.title(), where
    shown = page.locator("h1, h2, h3").evaluate_all(
        "all => all.filter(e => e.checkVisibility()).map(e => Number(e.tagName[1]))"
    )
    assert shown[0] == 1 and shown.count(1) == 1, f"{where}: headings {shown}"
    assert all(after <= before + 1 for before, after in itertools.pairwise(shown)), f"{where}: headings {shown}"
    for alt in page.locator("img").evaluate_all("all => all.filter(e => e.checkVisibility()).map(e => e.alt)"):
        assert " " in alt, f"{where}: a picture is described in words, not as {alt!r}"
    for address in dict.fromkeys(page.locator("a").evaluate_all("all => all.map(e => e.getAttribute('href'))")):
        assert leads_somewhere(page, address), f"{where}: {address} leads nowhere"
    names = page.locator("button").evaluate_all("all => all.map(e => e.textContent.trim() || e.ariaLabel)")
    assert all(names), f"{where}: a button without a name"
    assert page.evaluate(LOW_CONTRAST, CONTRAST) == [], where
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], (
        f"{where}: {page.evaluate(WIDER_THAN_PAGE)}"
    )
