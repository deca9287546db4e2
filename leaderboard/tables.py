"""Print tables of records as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from benchmark.core.cli import run
from leaderboard.records.runs import find_runs
from leaderboard.scores.tables import markdown


def main(folders: Annotated[tuple[Path, ...], tyro.conf.Positional], intervals: bool = True) -> None:
    """Print the records below FOLDERS as Markdown tables.

    Args:
        folders: folders that hold records, at any depth.
        intervals: show 95 % intervals.
    """
    print(markdown([record for _, record in find_runs(folders)], intervals))


if __name__ == "__main__":
    run(main)
