"""Make the paper's analyses (layers, iou, ablation, curve) and one more (swaps).

Each writes a csv and a picture to OUT, prints a short table, and goes on where it was stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmark.core import options
from benchmark.core.cli import Command, run
from benchmark.core.devices import pick
from benchmark.data import dataset
from benchmark.models.load import load_base
from benchmark.models.names import split_spec
from editors.core.masks import SPARSITIES
from editors.core.registry import ChosenEditor, choose
from editors.training.images import open_training_images
from editors.training.studies import StudyOptions
from leaderboard.analyses import ablation as ablations
from leaderboard.analyses import figures, swaps
from leaderboard.analyses import iou as overlaps
from leaderboard.analyses import layers as depths
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes
from leaderboard.records.record import Record
from leaderboard.records.runs import check_comparable, find_runs
from leaderboard.scores import curves
from leaderboard.scores.tables import cell, edits_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class On:
    """What is analysed, and where."""

    base: options.Base = "mini"
    data: options.Data = "mini"
    limit: options.Limit = None
    groups: options.Groups = ()
    seed: options.Seed = 0
    device: options.Device = "cpu"

    def judge(self) -> Judge:
        """The base and the images its edits are judged on."""
        return Judge(load_base(self.base, device=pick(self.device)), dataset.load(self.data))

    @property
    def settings(self) -> Settings:
        """What is edited."""
        return Settings(self.seed, self.limit, self.groups)

    def choose(self, spec: str) -> ChosenEditor:
        """An editor with the settings that suit this base; what should be known of it goes to standard error."""
        choice = choose(spec, split_spec(self.base)[0])
        for note in choice.notes:
            log.warning(note)
        return choice


Flat = tyro.conf.arg(name="")


def layers(on: Annotated[On, Flat] = On(), out: options.Out = Path("out/analysis/layers")) -> None:
    """Where to edit: plain fine-tuning of three consecutive FFNs or MSAs at every depth (paper, Fig. 2b).

    OUT gets layers.csv, layers.png and the runs.
    """
    found = depths.search(on.choose("ft"), on.choose("ft-at"), on.judge(), on.settings, out / "runs")
    rows = [
        {"part": one.part, "first": one.first, "last": one.last, **curves.columns(curves.shown(one.record))}
        for one in found
    ]
    curves.write_csv(out / "layers.csv", rows)
    title = f"Fine-tuning three consecutive FFNs or MSAs\n{_of(found[0].record)}"
    figures.layers(found, title, out / "layers.png")
    _table(["part", "blocks", "SR", "GR", "LR"], [
        [one.part.upper(), f"{one.first}-{one.last}", *map(cell, curves.shown(one.record).values())] for one in found
    ])  # fmt: skip
    _written(out / "layers")


def iou(
    editors: Annotated[tuple[str, ...], tyro.conf.Positional] = ("hypernetwork", "random-mask"),
    sparsity: float = 0.95,
    on: Annotated[On, Flat] = On(),
    out: options.Out = Path("out/analysis/iou"),
) -> None:
    """How specific masks are: their IoU within and across groups (paper, Figs. 6 and I).

    Means count groups of one label, each group once, and no pair of views of one drawing. OUT gets iou.csv (each
    two groups), iou-means.csv and iou.png.

    Args:
        editors: Editors that mask units.
        sparsity: Share of units that a mask leaves out.
    """
    judge, choices = on.judge(), [on.choose(spec) for spec in editors]
    found = [overlaps.overlap(choice, judge, sparsity, on.settings) for choice in choices]
    pairs = [
        {"editor": one.editor, "group": a, "other": b, "iou": one.matrix[i, j]}
        for one in found
        for i, a in enumerate(one.groups)
        for j, b in enumerate(one.groups)
    ]
    curves.write_csv(out / "iou.csv", pairs)
    curves.write_csv(
        out / "iou-means.csv",
        [{"editor": one.editor, "sparsity": sparsity, **curves.columns(one.means)} for one in found],
    )
    data = judge.benchmark
    title = f"Overlap of masks at sparsity {sparsity:g}: {judge.base.name}, {data.name} ({data.version})"
    figures.overlaps(found, title, out / "iou.png")
    _table(["editor", "within", "across", "difference"], [
        [one.editor, *(cell(score, interval=True) for score in one.means.values())] for one in found
    ])  # fmt: skip
    _written(out / "iou")


def ablation(
    what: str,
    editor: str = "hypernetwork",
    recipe: options.Recipe = "released",
    images: options.Images = "mini",
    bank_size: options.BankSize = 1024,
    iterations: options.Iterations = 1000,
    seeds: tuple[int, ...] = (0,),
    sparsities: tuple[float, ...] = SPARSITIES,
    on: Annotated[On, Flat] = On(data="mini-dev"),
    out: options.Out = Path("out/analysis/ablation"),
) -> None:
    """Train networks with one field of their recipe changed (Figs. J-N), or edit on 1 to 3 samples, and compare.

    Settings are chosen on dev data; give --data mini for what is published. OUT gets banks, networks,
    runs, WHAT.csv and WHAT.png; for samples, the editor's checkpoint is the one that was trained here.

    Args:
        what: Study of the editor (hypernetwork: T, inner-lr, lambda, blocks, pseudo); or samples, which trains none.
        editor: Editor that is scored.
        seeds: Seeds of the fits; each value is fitted once a seed.
        sparsities: Knob values at which each network is scored.
    """
    judge, choice = on.judge(), on.choose(editor)
    if what == "samples":
        title = ablations.SAMPLES_TITLE
        found = ablations.of_samples(choice, judge, sparsities, on.settings, out)
    else:
        title = ablations.find_study(choice, what).title
        shared = StudyOptions(recipe, bank_size, iterations)
        found = ablations.of_recipe(
            what, choice, judge, open_training_images(images), shared, seeds, sparsities, on.settings, out
        )
    _show_curves(found, f"Ablation: {title}", out / what)


def curve(folders: tyro.conf.Positional[options.RunFolders], out: options.Out = Path("out/analysis/curve")) -> None:
    """The GR-LR curves of finished runs, from their records alone (Figs. 4 and 5).

    Runs that differ only in their seed, or in the file an editor learned from, are repetitions of one line.
    OUT gets curve.csv and curve.png.
    """
    records = [record for _, record in find_runs(folders)]
    _show_curves(curves.lines(records), "Generalisation and locality", out / "curve")


def swap(folders: tyro.conf.Positional[options.RunFolders], out: options.Out = Path("out/analysis/swaps")) -> None:
    """Whether edits merely exchange two classes: LR on images of the class that the base had predicted, and elsewhere.

    Not in the paper; from finished runs alone. OUT gets swaps.csv.
    """
    runs = find_runs(folders)
    check_comparable([record for _, record in runs])
    found = [(record.editor.spec, swaps.swaps(outcomes.read(path.parent))) for path, record in runs]
    curves.write_csv(out / "swaps.csv", [{"editor": spec, **asdict(one)} for spec, one in found])
    _table(["editor", "LR of the class taken from", "LR of others", "lost to the edit's class"], [
        [spec, *(f"{100 * share:.1f}" for share in (one.of_z, one.of_others, one.exchanged))] for spec, one in found
    ])  # fmt: skip
    print(out / "swaps.csv")


def _show_curves(found: Sequence[curves.Line], title: str, path: Path) -> None:
    """Write csv and picture of GR-LR curves, print their points."""
    rows = curves.rows(found)
    curves.write_csv(path.with_suffix(".csv"), rows)
    figures.gr_lr(found, f"{title}\n{_of(found[0].runs[0][0])}", path.with_suffix(".png"))
    _table(["line", "knob", "SR", "GR", "LR"], [
        [line.label, "" if point.value is None else f"{line.knob} {point.value:g}", *map(cell, point.scores.values())]
        for line in found
        for point in line.points
    ])  # fmt: skip
    _written(path)


def _of(record: Record) -> str:
    """What all runs of a picture share, in a line."""
    return f"{record.base.name}, {record.data.name} ({record.data.version}), {edits_of(record)}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), caption="per cent", caption_justify="left")
    for position, name in enumerate(header):
        table.add_column(name, justify="right" if position > 1 else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _written(path: Path) -> None:
    print(f"{path.with_suffix('.csv')}   {path.with_suffix('.png')}")


main: dict[str, Command] = {"layers": layers, "iou": iou, "ablation": ablation, "curve": curve, "swaps": swap}

if __name__ == "__main__":
    run(main, about=__doc__ or "")
