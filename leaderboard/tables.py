"""Print tables of records as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from benchmark.core.cli import run
from benchmark.core.errors import UserError
from leaderboard.records import record
from leaderboard.scores.tables import markdown


def main(folders: Annotated[tuple[Path, ...], tyro.conf.Positional], intervals: bool = True) -> None:
    """Print the records below FOLDERS as Markdown tables.

    Args:
        folders: folders that hold records, at any depth.
        intervals: show 95 % intervals.
    """
    found = [one for _, one in record.find(list(folders))]
    if not found:
        raise UserError(f"no record.json below {', '.join(map(str, folders))}; python -m leaderboard.submit makes one")
    print(markdown(found, intervals))


if __name__ == "__main__":
    run(main)
