"""Write the board as a static site that opens from disk: tables, plot, an editor a page."""

from __future__ import annotations

from pathlib import Path

import tyro

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.data import dataset
from leaderboard.board.site import write_site
from leaderboard.records.runs import RUNS, find_newest

COMMITTED = Path(__file__).parent / "results"  # in a clone


def main(
    folders: tyro.conf.Positional[options.RunFolders] = (),
    data: options.Data = "mini",
    all_pictures: bool = False,
    out: options.Out = Path("out/site"),
) -> None:
    """Write the records below FOLDERS as pages into OUT, which is replaced as a whole; open OUT/index.html.

    Without FOLDERS, those that are committed in a clone are taken, elsewhere those in out/leaderboard. The pages need
    no network and no server, and a folder that holds them can be served as it is. Their pictures are DATA's.

    Args:
        all_pictures: Show also pictures that may not be passed on; such a site must stay on this machine.
    """
    runs = find_newest(folders or ([COMMITTED] if COMMITTED.is_dir() else [RUNS]))
    pages = write_site(out, runs, dataset.load(data), all_pictures)
    print(f"{pages:,} pages of {len(runs):,} runs; open {out / 'index.html'}")


if __name__ == "__main__":
    run(main)
