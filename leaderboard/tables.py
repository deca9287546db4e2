"""Print tables of records, or write them to a file."""

from __future__ import annotations

import tyro

from benchmark.core import options
from benchmark.core.cli import run
from leaderboard.records import outcomes
from leaderboard.records.runs import find_newest, find_runs
from leaderboard.scores import groups, table_files
from leaderboard.scores.tables import show


def main(
    folders: tyro.conf.Positional[options.RunFolders] = (),
    intervals: options.Intervals = False,
    all: bool = False,
    by_group: bool = False,
    out: options.OptionalOut = None,
) -> None:
    """Print the records below FOLDERS, or out/leaderboard: on a screen what fits, in a pipe or file all as Markdown.

    Of runs of the same editor and settings on the same images, the newest is shown. OUT is written instead, if it is
    given: a file whose ending says the form, .csv (all scores as shares, with their intervals), .tex or .md.

    Args:
        all: Show every run, and what tells those of one editor and settings apart.
        by_group: Show a table for each group, of the edits of its samples alone.
    """
    if out is not None:
        table_files.check_ending(out)
    runs = (find_runs if all else find_newest)(folders)
    records = [record for _, record in runs]
    if by_group:
        records = [
            of_group
            for path, record in runs
            for of_group in groups.by_group(record, outcomes.read(path.parent, record.outcomes.sha256))
        ]
    if out is None:
        show(records, intervals)
    else:
        table_files.write(out, records, intervals)
        print(out)


if __name__ == "__main__":
    run(main)
