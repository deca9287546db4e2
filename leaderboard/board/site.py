"""The site: each table's pages, its data for two editors side by side, and the libraries that it needs, offline."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.core.checksums import write_checksums
from benchmark.core.errors import UserError
from benchmark.core.staging import recover, replacing_folder
from benchmark.core.text import fill_template, printable
from benchmark.core.versions import VERSION
from benchmark.core.workdir import Kind, check_replaceable
from benchmark.data.dataset import Benchmark
from benchmark.labels.imagenet import names
from leaderboard.board import views
from leaderboard.board.answers import pick
from leaderboard.board.entries import Table, read_tables
from leaderboard.board.pictures import Pictures, spread
from leaderboard.board.plot import draw
from leaderboard.board.sets import ImageSet, list_sets
from leaderboard.records.record import Record

SITE = Kind("site", "site.json")
ASSETS = Path(__file__).parent / "assets"
PICTURED = 400  # images of a set that its page shows, evenly spread over all, beside those that editors' pages show


@dataclass
class Site:
    """A site that is being made.

    folder: where its files are written.
    pictures: of its images.
    is_private: whether it shows pictures that may not be passed on.
    pages: the number of pages so far.
    """

    folder: Path
    pictures: Pictures
    is_private: bool
    tables: Sequence[Table]
    pages: int = 0
    links: list[tuple[str, str]] = field(default_factory=list)

    def page(self, path: str, template: str, **values: Any) -> None:
        """Write one page; `path` is below the site."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        common = {"root": "../" * path.count("/"), "is_private": self.is_private, "links": self.links}
        file.write_text(fill_template(ASSETS / template, **common, **values), encoding="utf-8")
        self.pages += 1


def write_site(out: Path, runs: Sequence[tuple[Path, Record]], data: Benchmark, show_all: bool = False) -> int:
    """Write a site of these runs into the folder `out`, which it replaces; return the number of its pages.

    Pictures come from `data`; those that may not be passed on are left out, unless `show_all`.
    Raises `UserError` for runs that do not belong together, and if `out` holds something else.
    """
    libraries = _read_libraries()
    recover(out)
    check_replaceable(out, SITE, inputs=[path for path, _ in runs])
    tables = read_tables(runs)
    with replacing_folder(out) as folder:
        site = Site(folder, Pictures.of(folder, data.splits.values(), show_all), show_all, tables)
        homes = ["", *(f"table-{number}/" for number in range(2, len(tables) + 1))]
        site.links = [(f"{home}index.html", views.title(table)) for home, table in zip(homes, tables, strict=True)]
        _write_assets(folder / "assets", libraries)
        for home, table in zip(homes, tables, strict=True):
            _write_table(site, home, table)
        site.page("submit.html", "submit.html.jinja", home="")
        note = {"version": VERSION, "runs": [record.key for _, record in runs], "shows_all": show_all}
        (folder / SITE.note).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        write_checksums(folder)
    return site.pages


def _write_table(site: Site, home: str, table: Table) -> None:
    """Write the pages of one table, below the folder `home`."""
    base = printable(table.record.base.name)
    sets = list_sets(table.samples, base)
    rows = {row for each in sets for row in spread(each.rows, PICTURED)}
    for entry in table.entries:  # whose pages link to them
        rows.update(*pick(table.samples, entry.answers.images).values())
    shown = {row: site.pictures.ask(table.samples["sha256"][row]) for row in rows}
    common = {"home": home, "table": table, "base": base, "sets": sets}
    site.page(
        f"{home}index.html",
        "index.html.jinja",
        **common,
        **views.overview(table),
        figure=draw(table.entries),
    )
    for entry in table.entries:
        site.page(
            f"{home}editors/{entry.page}.html",
            "editor.html.jinja",
            **common,
            **views.editor(table, entry, sets, site.pictures),
        )
        _write_data(site.folder / home / "data" / f"{entry.page}.js", "runs", entry.page, views.side(table, entry))
    for each in sets:
        site.page(
            f"{home}groups/{each.page}.html",
            "group.html.jinja",
            **common,
            **views.group(table, each, [row for row in each.rows if row in shown], site.pictures),
        )
    site.page(f"{home}side-by-side.html", "side-by-side.html.jinja", **common)
    _write_data(site.folder / home / "data" / "images.js", "images", "", _images(table, sets, shown))


def _images(table: Table, sets: Sequence[ImageSet], shown: dict[int, str | None]) -> dict[str, Any]:
    """The images of a table by row: number of its set, label, the base's answer, and the picture's path."""
    samples = table.samples
    number_of = {row: number for number, each in enumerate(sets) for row in each.rows}
    rows = [
        [number_of[row], int(samples["label"][row]), int(samples["base"][row]), shown.get(row)]
        for row in range(len(samples))
    ]
    return {"rows": rows, "sets": [[each.page, printable(each.title)] for each in sets], "classes": names()}


def _write_data(path: Path, name: str, key: str, value: object) -> None:
    """Write a value as a script, because a page on disk may load no other data."""
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    target = f"(self.{name} ??= {{}})[{json.dumps(key)}]" if key else f"self.{name}"
    path.write_text(f"{target} = {text};\n", encoding="utf-8")


def _write_assets(folder: Path, libraries: dict[str, str]) -> None:
    """Write our style sheet and script, and the libraries, by their names."""
    folder.mkdir()
    for name in ("board.css", "board.js"):
        (folder / name).write_bytes((ASSETS / name).read_bytes())
    for name, text in libraries.items():
        (folder / name).write_text(text, encoding="utf-8")


def _read_libraries() -> dict[str, str]:
    """The scripts and styles of plotly and of DataTables, as itables bundles it, by the names that pages give them.

    Raises `UserError` where they are not installed.
    """
    try:
        from itables.options import dt_bundle
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UserError('the pages need plotly and a table: pip install "plotly>=6.0" "itables>=2.4"') from error
    bundle = Path(dt_bundle)
    return {
        "datatables.css": bundle.with_suffix(".css").read_text(encoding="utf-8"),
        "datatables.js": _as_script(bundle.read_text(encoding="utf-8")),
        "plotly.js": get_plotlyjs(),
    }


def _as_script(module: str) -> str:
    """A JavaScript module as a script that makes `DataTable`: from disk, a browser imports no module."""
    script, count = re.subn(
        r"export\s*\{[^}]*\b([\w$]+) as default\b[^}]*\}", r"self.DataTable = \1", module, flags=re.ASCII
    )
    assert count == 1, "itables' bundle has one default, DataTables"
    return f'"use strict";\n(() => {{\n{script}\n}})();\n'
