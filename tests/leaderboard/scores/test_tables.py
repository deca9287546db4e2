"""Tables on screens of 80 and 160 columns, and whole in a pipe; why edits failed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

import leaderboard
from benchmark.core import cli
from benchmark.core.terminal import show_table
from leaderboard import tables as command
from leaderboard.records import record
from leaderboard.records.record import Record
from leaderboard.scores import tables

RESULTS = Path(leaderboard.__file__).parent / "results" / "mini-1"
FT = record.read(RESULTS / "ft" / "record.json")
LONG = "/home/somebody/projects/editing-of-transformers/my_own_editor.py:MyOwnEditor:learning_rate=0.001,blocks=3"
HOSTILE = ("\x1b[31mred", "[red]two\nlines", "a" * 300, "编辑器" * 30, "", LONG)


def of(spec: str, **outcomes: object) -> Record:
    """The record of `ft` under another editor's name."""
    return FT.model_copy(
        update={
            "editor": FT.editor.model_copy(update={"spec": spec}),
            "outcomes": FT.outcomes.model_copy(update=outcomes),
        }
    )


def printed(
    records: list[Record], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **options
) -> list[str]:
    """The lines that `show` prints on a screen so wide."""
    monkeypatch.setenv("COLUMNS", str(width))
    tables.show(records, **options)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("intervals", [False, True])
@pytest.mark.parametrize("width", [80, 160])
def test_a_screen_has_one_header_line_and_whole_numbers(width: int, intervals: bool, monkeypatch, capsys) -> None:
    records = [of(f"ft-l2:c={number / 100}") for number in range(18 - len(HOSTILE))] + [of(name) for name in HOSTILE]
    lines = printed(records, width, monkeypatch, capsys, intervals=intervals)
    assert all(cell_len(line) <= width for line in lines) and not any("\x1b" in line for line in lines)
    (header,) = (number for number, line in enumerate(lines) if line.startswith("editor "))
    titles = re.split(r" {2,}", lines[header])
    body = lines[header + 1 : lines.index("", header)]
    whole, *expected = tables.rows(records, intervals)
    expected = [[row[whole.index(name)] for name in ("SR", "GR all", "LR")] for row in expected]
    rows = [line for line in body if expected[0][0] in line and expected[0][2] in line]
    assert len(rows) == 18, "each editor's numbers stand on one line"
    for line, cells in zip(rows, expected, strict=True):
        places = [line.index(cell) for cell in cells]
        assert places == sorted(places)
    assert {"SR", "GR all", "LR"} <= set(titles) <= {*whole, "s/fit", "MiB"}, "no word of a heading is cut"
    left_out = next(line for line in lines if line.startswith("left out at"))
    assert f"at {width} columns" in left_out
    text = " ".join(lines)
    assert all(name in titles or name in text for name in ("GR three d", "LR agreement groups", "s/edit"))


def test_a_wide_screen_is_used_and_a_narrow_one_keeps_what_tells_most(monkeypatch, capsys) -> None:
    headers = {}
    for width in (60, 80, 160, 240):
        lines = printed([of("ft"), of("head-only")], width, monkeypatch, capsys)
        headers[width] = next(line for line in lines if line.startswith("editor")).split("  ")
        headers[width] = [name.strip() for name in headers[width] if name]
        assert any(line.startswith("left out") for line in lines) == (width < 240)
    assert headers[60][:1] == ["editor"] and {"SR", "GR all", "LR"} <= set(headers[60])
    assert set(headers[60]) < set(headers[80]) < set(headers[160]) < set(headers[240])
    assert headers[240][-2:] == ["s/fit", "MiB"]


def test_a_name_folds_between_its_words(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show_table(["editor", "SR"], [[LONG, "100.0"]])
    _, first, *more = capsys.readouterr().out.splitlines()
    folded = [first.split("  ")[0], *(line.strip() for line in more)]
    assert "".join(folded) == LONG
    assert folded == [
        "/home/somebody/projects/editing-", "of-transformers/my_own_editor", ".py:MyOwnEditor:learning_rate=",
        "0.001,blocks=3",
    ]  # fmt: skip


def test_a_pipe_gets_the_whole_table_whatever_its_width(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    cli.run(command.main, [str(RESULTS / "ft")])
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if line.startswith("| editor |"))
    assert "LR agreement groups" in header and "[" not in next(line for line in lines if line.startswith("| ft |"))
    assert "brackets" not in "\n".join(lines)
    cli.run(command.main, [str(RESULTS / "ft"), "--intervals"])
    shown = capsys.readouterr().out
    assert "| 100.0 [99.1, 100.0] |" in shown and "in brackets 95 % intervals" in shown


def test_why_edits_failed_is_said_below_the_table(monkeypatch, capsys) -> None:
    counts = {"loss is not finite | <b>": 2, "ZeroDivisionError: x\x1b[2J": 1}
    failed = of("ft", edits=54, failed=3, failures=counts)
    line = "ft: 3 of 54 edits failed: loss is not finite | <b> (2), ZeroDivisionError: x\x1b[2J (1)"
    assert tables.failure_lines([of("null-edit"), failed]) == [line]
    (last,) = (line for line in tables.markdown([failed]).splitlines() if line.startswith("- "))
    assert last == r"- ft: 3 of 54 edits failed: loss is not finite \| \<b\> (2), ZeroDivisionError: x \[2J (1)"
    lines = printed([failed], 80, monkeypatch, capsys)
    assert "3 of 54 edits failed: loss is not finite | <b> (2)," in " ".join(lines)
    assert "\x1b" not in "".join(lines)
    more = of("ft", edits=54, failed=9, failures=counts)
    assert tables.failure_lines([more])[0].endswith("(1), other reasons (6)")
    assert tables.failure_lines([of("ft", edits=54, failed=9, failures=None)]) == ["ft: 9 of 54 edits failed"]


def test_steps_that_nobody_counted_and_long_edits() -> None:
    slow = of("a.py:B", median_steps=0)
    slow = slow.model_copy(update={"costs": slow.costs.model_copy(update={"median_edit_seconds": 1234.5})})
    header, row = tables.rows([slow])
    assert row[header.index("steps")] == "–" and row[header.index("s/edit")] == "1,234"
