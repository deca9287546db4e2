"""Make the tables and figures of the paper from finished runs and analyses."""

from __future__ import annotations

from pathlib import Path

import tyro

from benchmark.core import options
from benchmark.core.cli import Command, run
from leaderboard.analyses import paper, paper_makers
from leaderboard.analyses.paper import NotThere, Sources


def make_all(folders: tyro.conf.Positional[options.RunFolders] = (), out: options.Out = Path("out/figures")) -> None:
    """Make each table and figure whose runs or analyses are there, as the paper arranges it; list what others need.

    FOLDERS are out/leaderboard and out/analysis if none is given. Where no run is of the paper's ViT-B/16, the base
    with most runs stands in for it, and the second in number for ViT-S/16. OUT gets a csv and an svg of each figure,
    a csv and LaTeX of each table. The list is leaderboard/analyses/paper.json.
    """
    sources = Sources.below(folders)
    for figure in paper.read_list():
        try:
            made_of = f"made of {paper_makers.make(figure, sources, out)}"
        except NotThere as reason:
            made_of = f"not made, since {reason}; it needs {figure.needs}"
        print(f"{figure.name:10} {figure.title}: {made_of}", flush=True)
    print(f"in {out}")


main: dict[str, Command] = {"all": make_all}

if __name__ == "__main__":
    run(main, about=__doc__ or "")
