"""A hostile name wherever a command shows it: on both streams, in tables, on pages, in CSV and in Markdown."""

from __future__ import annotations

import csv
import html
import logging
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.table import Table

from benchmark.core.cli import run
from benchmark.core.csvs import plain_text, write_csv, write_frame
from benchmark.core.errors import UserError
from benchmark.core.terminal import console, show_traceback
from benchmark.core.text import escape, fill_template

HOSTILE = "=\x1b[2J\rforged\u202egpj.\x9b31m<script>alert(1)</script>|`x`[bold][/][x](javascript:y):skull:\ud800\udce9"
TERMINAL = {"\x1b", "\r", "\x9b", "\u202e", "\ud800"}


def test_what_a_command_prints_notes_and_fails_with_is_printable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    # pytest keeps what reaches the root logger, and pytest-xdist can send no lone surrogate from one process to another
    monkeypatch.setattr(logging.getLogger("benchmark"), "propagate", False)

    def command() -> None:
        """Do."""
        print(f"one {HOSTILE}\ntwo", HOSTILE)
        logging.getLogger("benchmark.core").info("%s\nmore", HOSTILE)
        table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
        table.add_row(HOSTILE)
        console().print(table, f"[red]{HOSTILE}")
        raise UserError(f"{HOSTILE}: is no name\nof a file")

    with pytest.raises(SystemExit, match="2"):
        run(command, [])
    shown = capsys.readouterr()
    assert not TERMINAL & {*shown.out, *shown.err}
    assert shown.out.startswith("one =\\x1b[2J\\rforged\\u202egpj.") and "\ntwo =\\x1b" in shown.out
    assert shown.out.count("[bold][/][x](javascript:y):skull:\\ud800\\xe9") == 7, "rich reads no markup in it"
    note, error = shown.err.splitlines()
    assert note.startswith("note: =\\x1b[2J") and note.endswith(" more")
    assert error.startswith("error: =\\x1b[2J") and error.endswith("is no name of a file")


def test_a_traceback_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise UserError(HOSTILE)
    except UserError as error:
        show_traceback(type(error), error, error.__traceback__)
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last):\n") and not TERMINAL & {*shown}
    code = f"from benchmark.core.cli import run\ndef f():\n  open({HOSTILE[:-2]!r})\nrun(f, ['--debug'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "FileNotFoundError" in done.stderr and "\x1b" not in done.stderr


def test_the_help_keeps_its_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser prints before a command begins, and its text is its own."""

    def command(out: Path = Path("a")) -> None:
        """Do."""

    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(SystemExit, match="0"):
        run(command, ["--help"])
    assert "\\x1b" not in capsys.readouterr().out


def test_a_page_shows_it_as_text(tmp_path: Path) -> None:
    template = tmp_path / "page.jinja"
    template.write_text('{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}<a title="{{ name }}">{{ m(name) }}{{ 3 }}</a>')
    page = fill_template(template, name=HOSTILE)
    assert page.startswith('<a title="=\\x1b[2J') and page.endswith("</b>3</a>")
    assert not TERMINAL & {*page} and "<script" not in page
    assert html.unescape(page).count("<script>alert(1)</script>|`x`") == 2


@pytest.mark.parametrize("name", [HOSTILE, "=1+1", "+1+1", "-1+1", "@SUM(A1)", "'=1", "''-x", "\t=1", "＝1+1"])
def test_no_cell_is_a_formula(name: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", ("a", "b"), [(name, -1), ("-1.5", None)])
    write_frame(tmp_path / "frame.csv", pd.DataFrame({"a": pd.Series([name, "-1.5"], dtype=object), "b": [-1, 2]}))
    for file in ("rows.csv", "frame.csv"):
        text = (tmp_path / file).read_text(encoding="utf-8")
        (_, (content, number), (plain_number, _)) = csv.reader(text.splitlines())
        assert content[0] not in "=+-@\t\r＝" and not TERMINAL & {*text}
        assert (number, plain_number) == ("-1", "-1.5")
        assert plain_text(content) == (name if name.isprintable() else plain_text(content))


def test_markdown_of_it_is_one_cell() -> None:
    made = escape(HOSTILE)
    assert not TERMINAL & {*made} and "\\<script\\>" in made and "\\|\\`x\\`\\[bold\\]" in made
    assert escape("step_scale") == "step_scale" and escape("_x_ a_") == "\\_x\\_ a\\_"
