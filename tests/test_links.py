"""Every link of the project's pages leads somewhere: to a file, and to a heading of it where one is named."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
PAGE_NAMED = re.compile(r"`((?:docs|tests|benchmark|mad|generation|editors|leaderboard)/[\w./-]*\w)`")
PAGES = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def anchors(page: Path) -> set[str]:
    """Return the headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        assert (page.parent / file).exists(), target
        assert not heading or heading in anchors(page.parent / file if file else page), target


@pytest.mark.parametrize("name", [name for name in PAGES if name != "CONTRIBUTING.md"])  # its examples are new files
def test_files_that_are_named_exist(name: str) -> None:
    for target in PAGE_NAMED.findall((ROOT / name).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
