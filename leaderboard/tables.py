"""Print tables of records."""

from __future__ import annotations

import tyro

from benchmark.core import options
from benchmark.core.cli import run
from leaderboard.records.runs import find_runs
from leaderboard.scores.tables import show


def main(folders: tyro.conf.Positional[options.RunFolders], intervals: options.Intervals = False) -> None:
    """Print the records below FOLDERS: on a screen what it has room for, in a pipe or file all as Markdown."""
    show([record for _, record in find_runs(folders)], intervals)


if __name__ == "__main__":
    run(main)
