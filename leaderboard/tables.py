"""Print tables of records."""

from __future__ import annotations

import tyro

from benchmark.core import options
from benchmark.core.cli import run
from leaderboard.records.runs import find_newest, find_runs
from leaderboard.scores.tables import show


def main(
    folders: tyro.conf.Positional[options.RunFolders] = (),
    intervals: options.Intervals = False,
    all: bool = False,
) -> None:
    """Print the records below FOLDERS, or out/leaderboard: on a screen what fits, in a pipe or file all as Markdown.

    Of runs of the same editor and settings on the same images, the newest is shown.

    Args:
        all: Show every run, and what tells those of one editor and settings apart.
    """
    show([record for _, record in (find_runs if all else find_newest)(folders)], intervals)


if __name__ == "__main__":
    run(main)
