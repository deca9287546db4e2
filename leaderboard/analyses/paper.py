"""Tables and figures of the paper, from finished runs and analyses: `paper.json` lists them, and what each needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchmark.core.errors import UserError
from benchmark.core.files import walk
from benchmark.core.readers import read_json
from leaderboard.records import outcomes
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.record import Record
from leaderboard.records.runs import RUNS, find_newest
from leaderboard.scores import groups

LIST = Path(__file__).parent / "paper.json"
ANALYSES = Path("out/analysis")  # the default place of leaderboard.analyse
BASES = ("vitb16", "vits16")  # the paper's first and second base
NATURAL = ("natural", "pairs")  # the subsets of mined failures, of the full benchmark and of the mini
Run = tuple[Path, Record]


class NotThere(UserError):
    """A record or an analysis that a figure needs is not in the folders."""


@dataclass(frozen=True)
class PaperFigure:
    """An entry of `paper.json`: a figure or table of the paper, and the way to make it."""

    name: str
    """The name of its files."""
    title: str
    """Its title, in words."""
    drawn_as: str
    """The function that makes it (`paper_makers.MAKERS`)."""
    needs: str
    """The command that makes what it needs."""
    base: str = BASES[0]
    """The base in the paper, for which another may stand in (`Sources.of_base`)."""
    editors: tuple[str, ...] = ()
    """The editors whose runs it shows."""
    field: str = ""
    """The field of the recipe in which the networks differ."""
    panels: tuple[str, ...] = ()
    """The groups of each panel: all groups, natural groups, generated groups, or each natural group."""

    @property
    def heading(self) -> str:
        """Its number in the paper and its title."""
        return f"{self.name.replace('figure-', 'Fig. ').replace('table-', 'Table ')}: {self.title}"


def read_list() -> list[PaperFigure]:
    """The figures and tables with results, in the paper's order."""
    entries = read_json(LIST)["figures"]
    lists = ("editors", "panels")
    return [PaperFigure(**{**entry, **{name: tuple(entry.get(name, ())) for name in lists}}) for entry in entries]


@dataclass(frozen=True)
class Sources:
    """Finished runs, and the folders that may hold analyses."""

    folders: tuple[Path, ...]
    runs: list[Run]
    _read: dict[Path, Outcomes] = field(default_factory=dict)

    @classmethod
    def below(cls, folders: Sequence[Path]) -> Sources:
        """All in or below these folders; without one, in the default places of runs and analyses.

        Raises `UserError` if there is no record.
        """
        places = tuple(folders) or tuple(place for place in (RUNS, ANALYSES) if place.is_dir())
        return cls(places, find_newest(places))

    def outcomes(self, run: Run) -> Outcomes:
        """The outcomes of a run, read once."""
        path, record = run
        if path not in self._read:
            self._read[path] = outcomes.read(path.parent, record.outcomes.sha256)
        return self._read[path]

    def of_base(self, name: str) -> list[Run]:
        """The runs of one of the paper's bases.

        Of a base without a run, those of the base with most runs that the paper does not name stand in, for the second
        one those of the base with second most. Raises `NotThere` if there is none.
        """
        counts = Counter(record.base.name for _, record in self.runs)
        others = iter([base for base, _ in counts.most_common() if base not in BASES])
        actual = {base: base if base in counts else next(others, None) for base in BASES}
        if actual[name] is None:
            raise NotThere(f"there are no runs of {'a second base' if name == BASES[1] else 'a base'}")
        return [run for run in self.runs if run[1].base.name == actual[name]]

    def files(self, name: str) -> Iterator[Path]:
        """Files of this name (or ending, such as .csv) in or below the folders, the newest first."""
        paths = {Path(entry.path) for folder in self.folders for entry in walk(folder) if entry.name.endswith(name)}
        return iter(sorted(paths, key=lambda path: -path.stat().st_mtime))


def choose(
    figure: PaperFigure,
    sources: Sources,
    value: Callable[[Record], Hashable],
    least: int = 1,
    without: Sequence[str] = ("seed",),
    same: Callable[[Record], Hashable] = lambda record: None,
) -> list[Run]:
    """The largest set of comparable runs for a figure: with most values, then with most runs.

    Runs for which `value` is None are left out, and so are interpolated ones, which the paper lacks. `without` are
    the parts of `Record.comparable_key` in which the runs may differ, and `same` is another in which they may not.
    Raises `NotThere` for fewer than `least` values.
    """
    alike: dict[Hashable, list[Run]] = {}
    for path, record in sources.of_base(figure.base):
        if record.editor.name in figure.editors and record.editor.interpolate == 1 and value(record) is not None:
            key = {name: part for name, part in record.comparable_key()._asdict().items() if name not in without}
            alike.setdefault((*key.values(), same(record)), []).append((path, record))
    best = max(alike.values(), key=lambda runs: (len({value(record) for _, record in runs}), len(runs)), default=[])
    if len({value(record) for _, record in best}) < least:
        raise NotThere("there are no such runs" if least == 1 else f"there are not {least} kinds of comparable runs")
    return best


def group_table(run: Outcomes) -> pd.DataFrame:
    """The groups of a run's editing samples: `group`, `subset`, `images`, `classes`, `natural` and `edited`, by id."""
    samples = run.samples[run.samples["split"] == "edit"]
    table = samples.groupby("group_id", sort=False).agg(
        group=("group", "first"), subset=("subset", "first"), images=("label", "size"), classes=("label", "nunique")
    )
    edited = table.index.isin(run.edits["group_id"])
    return table.assign(natural=table["subset"].isin(NATURAL), edited=edited)


def panel_records(figure: PaperFigure, sources: Sources, runs: Sequence[Run]) -> dict[str, list[Record]]:
    """The records of each panel of a figure, those of some groups alone as `groups.only` makes them."""
    table = group_table(sources.outcomes(runs[0]))
    table = table[table["edited"]]
    panels: dict[str, list[Record]] = {}
    for panel in figure.panels:
        if panel == "all groups":
            panels[panel] = [record for _, record in runs]
            continue
        inside = table[table["natural"] == (panel != "generated groups")]
        parts = {row.group: [row.Index] for row in inside.itertuples()} if panel.startswith("each") else {}
        for name, ids in (parts or {panel: list(inside.index)}).items():
            if ids:
                panels[name] = [groups.only(run[1], sources.outcomes(run), ids) for run in runs]
    return panels
