"""Print tables of records as Markdown."""

from __future__ import annotations

import tyro

from benchmark.core import options
from benchmark.core.cli import run
from leaderboard.records.runs import find_runs
from leaderboard.scores.tables import markdown


def main(folders: tyro.conf.Positional[options.RunFolders], intervals: bool = True) -> None:
    """Print the records below FOLDERS as Markdown tables.

    Args:
        intervals: Show 95 % intervals.
    """
    print(markdown([record for _, record in find_runs(folders)], intervals))


if __name__ == "__main__":
    run(main)
