"""python -m tests.records.docs [--check]: make the tables and pictures of README.md and docs/ from leaderboard/results.

A table stands in its page between ``<!-- made: NAME -->`` and ``<!-- end -->``; words around it are written by hand. A
picture is made by `leaderboard.analyse`, and holds the hash of the runs that it shows. `shown.py` says which runs these
are. --check changes nothing, and ends with exit code 1 if a table or picture is not that of the records.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmark.core.files import replacing, write_text
from leaderboard import analyse
from tests.records.shown import MASKS, PICTURES, RESULTS, TABLES, Run, committed

ROOT = RESULTS.parents[1]
IMAGES = ROOT / "docs" / "images"
BLOCK = re.compile(r"<!-- made: (\S+) -->\n(.*?)<!-- end -->", flags=re.DOTALL)
STAMP = "Records"  # the text in a picture that holds the hash of its runs


def pages() -> list[Path]:
    """The pages that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Names and texts of the tables that a page holds."""
    return [(name, text.strip()) for name, text in BLOCK.findall(page.read_text(encoding="utf-8"))]


def stamp(runs: Sequence[Run]) -> str:
    """Hash of the runs that a picture shows: of their keys and outcomes."""
    return hashlib.sha256("".join(record.key + record.outcomes.sha256 for _, record in runs).encode()).hexdigest()


def pictures() -> Iterator[tuple[str, list[Run]]]:
    """Name and runs of each picture."""
    for name, patterns in {**PICTURES, "iou": MASKS}.items():
        yield name, committed().choose(patterns)


def draw(name: str, runs: Sequence[Run], scratch: Path) -> None:
    """Make a picture by the command that docs name for it, and note in it which runs it shows."""
    with contextlib.redirect_stdout(io.StringIO()):
        if name == "iou":
            analyse.iou(out=scratch / name)
        else:
            analyse.curve(tuple(path.parent for path, _ in runs), out=scratch / name)
    text = PngInfo()
    text.add_text(STAMP, stamp(runs))
    with Image.open(next((scratch / name).glob("*.png"))) as picture, replacing(IMAGES / f"{name}.png") as target:
        picture.convert("RGB").save(target, format="PNG", optimize=True, pnginfo=text)


def fill(made: Mapping[str, str]) -> None:
    """Write tables into the pages that hold their names."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        filled = BLOCK.sub(lambda block: f"<!-- made: {block[1]} -->\n\n{made[block[1]]}\n\n<!-- end -->", text)
        if filled != text:
            write_text(page, filled)


def find_stale_tables(made: Mapping[str, str]) -> list[str]:
    """The tables that pages show otherwise than they are made, not at all, or twice."""
    shown = [block for page in pages() for block in blocks(page)]
    counts = Counter(name for name, _ in shown)
    return [
        *(f"{name}: stands {counts[name]} times in the pages, not once" for name in made if counts[name] != 1),
        *(f"{name}: no table is called so" for name in counts if name not in made),
        *(f"{name}: not the table of the records" for name, text in shown if name in made and text != made[name]),
    ]


def find_stale_pictures() -> list[str]:
    """The pictures that do not show the committed runs."""
    stale = []
    for name, runs in pictures():
        with Image.open(IMAGES / f"{name}.png") as picture:
            if picture.info.get(STAMP) != stamp(runs):
                stale.append(f"{name}.png: not of the committed runs")
    return stale


def main() -> int:
    """Make or check all; the exit code is 1 if something is not of the records."""
    parser = argparse.ArgumentParser(prog="python -m tests.records.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, and name what is not of the records")
    is_check = parser.parse_args().check
    made = {name: make() for name, make in TABLES.items()}
    if not is_check:
        fill(made)
        with tempfile.TemporaryDirectory() as scratch:
            for name, runs in pictures():
                draw(name, runs, Path(scratch))
    stale = find_stale_tables(made) + find_stale_pictures()
    print("\n".join(stale) or "all tables and pictures are those of the committed records")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
