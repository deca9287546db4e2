"""Tables that people open in a spreadsheet: text from outside is printable there, and no formula.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-`` or ``@``. Such text is written with ``'`` before it,
which `plain_text` takes off again.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.files import replacing
from benchmark.core.text import printable_lines

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def cell(value: Any) -> Any:
    """The content of a cell: text that is printable and no formula; anything else as it is.

    >>> cell("=1+1"), cell("a.jpg"), cell("-1.5"), cell(-1.5)
    ("'=1+1", 'a.jpg', '-1.5', -1.5)
    """
    if not isinstance(value, str):
        return value
    text = printable_lines(value)
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def plain_text(content: str) -> str:
    """The text that `cell` made this content of.

    >>> plain_text("'=1+1"), plain_text("'tis")
    ('=1+1', "'tis")
    """
    return content[1:] if content.startswith("'") and FORMULA.match(content) else content


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(map(cell, row) for row in rows)


def write_frame(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table of pandas atomically, without its index."""
    texts = {name: table[name].map(cell) for name in table if table[name].dtype.kind == "O"}
    with replacing(path) as temporary:
        table.assign(**texts).to_csv(temporary, index=False, float_format=float_format, lineterminator="\n")
