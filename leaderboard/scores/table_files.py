"""Tables of records as files: csv for programs, LaTeX for papers, Markdown; the file's ending says which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.core.errors import UserError, listed
from benchmark.core.files import write_text
from benchmark.core.text import escape_latex
from leaderboard.records.record import Record
from leaderboard.records.runs import group_comparable
from leaderboard.scores import curves, tables

PACKAGES = "% needs \\usepackage{booktabs, longtable} and \\usepackage[T1]{fontenc}\n"


def write(path: Path, records: Sequence[Record], intervals: bool = False) -> None:
    """Write the tables of `records`, atomically, in the form that the ending of `path` says.

    Raises `UserError` for an ending that means none.
    """
    check_ending(path)
    FORMS[path.suffix](path, records, intervals)


def check_ending(path: Path) -> None:
    """Raise `UserError` unless the ending of `path` says a form."""
    if path.suffix not in FORMS:
        raise UserError(f"--out must end in {listed(list(FORMS))}, not {path.suffix or path.name}")


def csv_row(record: Record) -> dict[str, Any]:
    """One row of a csv: the run, all that its table shares, scores and ends of intervals as shares, and costs."""
    protocol, data, outcomes = record.protocol, record.data, record.outcomes
    groups = protocol.edited_groups
    return {
        "editor": record.editor.spec,
        "base": record.base.name,
        "data": data.name,
        "data_version": data.version,
        "data_fingerprint": data.fingerprint,
        "groups": "all" if groups is None else ", ".join(groups),
        "limit": protocol.limit,
        "seed": protocol.seed,
        "samples_per_edit": protocol.samples_per_edit,
        "precision": record.comparable_key().precision,
        "device": protocol.device,
        "protocol": protocol.version,
        "scoring": protocol.scoring,
        "notes": ", ".join(tables.notes(record)),
        "edits": outcomes.edits,
        "failed": outcomes.failed,
        **curves.columns(record.scores),
        "median_steps": outcomes.median_steps,
        "median_edit_seconds": record.costs.median_edit_seconds,
        "created": record.created,
        "key": record.key,
    }


def _write_csv(path: Path, records: Sequence[Record], intervals: bool) -> None:
    """All runs in one table, which has the intervals in columns of their own whether or not they are asked for."""
    curves.write_csv(path, map(csv_row, records))


def latex(records: Sequence[Record], intervals: bool = False) -> str:
    """All records as LaTeX, to be read by ``\\input``: one longtable for each set of comparable runs."""
    texts = [PACKAGES]
    for group in group_comparable(records):
        header, *body = tables.rows(group, intervals)
        texts.append(latex_table(header, body, f"{tables.heading(group[0])}, {tables.details(group[0])}."))
        texts += [f"{escape_latex(line)}.\n\n" for line in tables.failure_lines(group)]
    note = tables.NOTE_ON_INTERVALS if intervals else tables.NOTE
    return "\n".join([*texts, escape_latex(note)]) + "\n"


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, n_text: int = 1) -> str:
    """A longtable of texts, which are escaped; the first `n_text` columns stand left."""
    frame = pd.DataFrame([list(map(escape_latex, row)) for row in rows], columns=list(map(escape_latex, header)))
    return str(
        frame.style.hide(axis="index").to_latex(
            column_format="l" * n_text + "r" * (len(header) - n_text),
            hrules=True,
            environment="longtable",
            caption=escape_latex(caption),
        )
    )


def _write_latex(path: Path, records: Sequence[Record], intervals: bool) -> None:
    write_text(path, latex(records, intervals))


def _write_markdown(path: Path, records: Sequence[Record], intervals: bool) -> None:
    write_text(path, tables.markdown(records, intervals))


FORMS: dict[str, Callable[[Path, Sequence[Record], bool], None]] = {
    ".csv": _write_csv,
    ".tex": _write_latex,
    ".md": _write_markdown,
}
