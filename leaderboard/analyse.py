"""Make the paper's analyses (layers, iou, ablation, curve) and one more (swaps).

Each writes a csv and a picture to OUT, prints a short table, and goes on where it was stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

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

    base: str = "mini"
    """base model: mini, vitb16, vits16, any timm ViT, NAME=WEIGHTS_FILE or a timm folder."""
    data: str = "mini"
    """mini, mini-dev, or a folder in the Hub's layout."""
    limit: int | None = None
    """edit only this many samples, a seeded draw spread over the groups."""
    groups: tuple[str, ...] = ()
    """edit only samples of these groups (ids or names)."""
    seed: int = 0
    """seed of the draw and of every edit."""
    device: Literal["cpu", "cuda"] = "cpu"
    """where to compute."""

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


def layers(on: Annotated[On, Flat] = On(), out: Path = Path("out/analysis/layers")) -> None:
    """Where to edit: plain fine-tuning of three consecutive FFNs or MSAs at every depth (paper, Fig. 2b).

    Args:
        on: what is analysed.
        out: where runs, layers.csv and layers.png go.
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
    out: Path = Path("out/analysis/iou"),
) -> None:
    """How specific masks are: their IoU within and across groups (paper, Figs. 6 and I).

    Means count groups of one label, each group once, and no pair of views of one drawing.

    Args:
        editors: editors that mask units.
        sparsity: share of units that a mask leaves out.
        on: what is analysed.
        out: where iou.csv (each two groups), iou-means.csv and iou.png go.
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
    recipe: str = "released",
    pictures: str = "mini",
    bank_size: int = 1024,
    iterations: int = 1000,
    seeds: tuple[int, ...] = (0,),
    sparsities: tuple[float, ...] = SPARSITIES,
    on: Annotated[On, Flat] = On(data="mini-dev"),
    out: Path = Path("out/analysis/ablation"),
) -> None:
    """Train networks with one field of their recipe changed (Figs. J-N), or edit on 1 to 3 samples, and compare.

    Settings are chosen on dev data; give --data mini for what is published.

    Args:
        what: a study of the editor (hypernetwork: T, inner-lr, lambda, blocks, pseudo); or samples, which trains none.
        editor: the editor that is scored; but for samples, its checkpoint is the one trained here.
        recipe: the published recipe of which one field is changed: released or paper.
        pictures: images to train on: a folder of images by class, a data set on the Hub, or mini.
        bank_size: pseudo-samples in each bank of targets.
        iterations: batches of each fit.
        seeds: of the fits; each value is fitted once a seed.
        sparsities: knob values at which each network is scored.
        on: what is analysed.
        out: where banks, networks, runs, WHAT.csv and WHAT.png go.
    """
    judge, choice = on.judge(), on.choose(editor)
    if what == "samples":
        title = ablations.SAMPLES_TITLE
        found = ablations.of_samples(choice, judge, sparsities, on.settings, out)
    else:
        title = ablations.find_study(choice, what).title
        options = StudyOptions(recipe, bank_size, iterations)
        found = ablations.of_recipe(
            what, choice, judge, open_training_images(pictures), options, seeds, sparsities, on.settings, out
        )
    _show_curves(found, f"Ablation: {title}", out / what)


def curve(folders: Annotated[tuple[Path, ...], tyro.conf.Positional], out: Path = Path("out/analysis/curve")) -> None:
    """The GR-LR curves of finished runs, from their records alone (Figs. 4 and 5).

    Runs that differ only in their seed, or in the file an editor learned from, are repetitions of one line.

    Args:
        folders: folders that hold records, at any depth.
        out: where curve.csv and curve.png go.
    """
    records = [record for _, record in find_runs(folders)]
    _show_curves(curves.lines(records), "Generalisation and locality", out / "curve")


def swap(folders: Annotated[tuple[Path, ...], tyro.conf.Positional], out: Path = Path("out/analysis/swaps")) -> None:
    """Whether edits merely exchange two classes: LR on images of the class that the base had predicted, and elsewhere.

    Not in the paper; from finished runs alone.

    Args:
        folders: folders that hold records, at any depth.
        out: where swaps.csv goes.
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
