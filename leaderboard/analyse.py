"""Make the paper's analyses (layers, iou, ablation, curve) and one more (swaps).

Each writes a csv and a figure to OUT, prints a short table, and continues where it was stopped.
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
from benchmark.core.ranges import Fraction, SeedNumber
from benchmark.core.terminal import show_table
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
from leaderboard.judging.border import Border
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes
from leaderboard.records.runs import check_comparable, find_newest
from leaderboard.records.sections import Score
from leaderboard.scores import curves
from leaderboard.scores.tables import cell, shared

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class On:
    """The base, data and samples of an analysis."""

    base: options.Base = "mini"
    data: options.Data = "mini"
    limit: options.Limit = None
    groups: options.Groups = ()
    seed: options.Seed = 0
    device: options.Device = "auto"

    def judge(self) -> Judge:
        """The base and the images its edits are judged on."""
        return Judge(load_base(self.base, device=pick(self.device)), dataset.load(self.data))

    @property
    def settings(self) -> Settings:
        """Sampling and seeds."""
        return Settings(self.seed, self.limit, self.groups)

    def border(self) -> Border:
        """The way in which editors work in processes of their own."""
        return Border(dataset.scored_files(self.data))

    def choose(self, spec: str) -> ChosenEditor:
        """An editor with the settings that suit this base; notes on it go to standard error."""
        editor = choose(spec, split_spec(self.base)[0])
        for note in editor.notes:
            log.warning(note)
        return editor


Flat = tyro.conf.arg(name="")


def layers(on: Annotated[On, Flat] = On(), out: options.Out = Path("out/analysis/layers")) -> None:
    """Compare places to edit: plain fine-tuning of three consecutive FFNs or MSAs at every depth (paper, Fig. 2b).

    OUT gets layers.csv, layers.png and the runs.
    """
    border = on.border()
    positions = depths.search(on.choose("ft"), on.choose("ft-at"), on.judge(), on.settings, out / "runs", border=border)
    curves.write_csv(out / "layers.csv", [position.row() for position in positions])
    title = f"Fine-tuning three consecutive FFNs or MSAs\n{shared(positions[0].record)}"
    figures.layers(positions, title, out / "layers.png")
    _table(["part", "blocks", "SR", "GR", "LR"], [
        [position.part.upper(), f"{position.first}-{position.last}", *map(cell, curves.shown(position.record).values())]
        for position in positions
    ])  # fmt: skip
    _written(out / "layers")


def iou(
    editors: Annotated[tuple[str, ...], tyro.conf.Positional] = ("hypernetwork", "random-mask"),
    sparsity: Fraction = 0.95,
    on: Annotated[On, Flat] = On(),
    out: options.Out = Path("out/analysis/iou"),
) -> None:
    """Measure how specific masks are: their IoU within and across groups (paper, Figs. 6 and I).

    Means count groups of one label, each group once, and no pair of views of one drawing. OUT gets iou.csv (each
    two groups), iou-samples.csv (six samples, two of each of three groups), iou-means.csv and iou.png.

    Args:
        editors: Editors that mask units.
        sparsity: Share of units that a mask leaves out.
    """
    judge, chosen_editors = on.judge(), [on.choose(spec) for spec in editors]
    results = [overlaps.overlap(chosen, judge, sparsity, on.settings) for chosen in chosen_editors]
    pairs = [
        {"editor": result.editor, "group": a, "subset": subset, "other": b, "iou": result.matrix[i, j]}
        for result in results
        for i, (a, subset) in enumerate(zip(result.groups, result.subsets, strict=True))
        for j, b in enumerate(result.groups)
    ]
    curves.write_csv(out / "iou.csv", pairs)
    examples = [
        {"editor": result.editor, "sample": a, "other": b, "iou": result.of_examples[i, j]}
        for result in results
        for i, a in enumerate(result.examples)
        for j, b in enumerate(result.examples)
    ]
    curves.write_csv(out / "iou-samples.csv", examples)
    curves.write_csv(
        out / "iou-means.csv",
        [{"editor": result.editor, "sparsity": sparsity, **curves.columns(result.means)} for result in results],
    )
    data = judge.benchmark
    title = f"Overlap of masks at sparsity {sparsity:g}: {judge.base.name}, {data.name} ({data.version})"
    figures.overlaps(results, title, out / "iou.png")
    _table(["editor", "within", "across", "difference"], [
        [result.editor, *(cell(score, interval=True) for score in result.means.values())] for result in results
    ])  # fmt: skip
    _written(out / "iou")


def ablation(
    what: str,
    editor: options.Editor = "hypernetwork",
    recipe: options.Recipe = "released",
    images: options.Images = "mini",
    bank_size: options.BankSize = 1024,
    iterations: options.Iterations = 1000,
    seeds: tuple[SeedNumber, ...] = (0,),
    sparsities: tuple[Fraction, ...] = SPARSITIES,
    on: Annotated[On, Flat] = On(data="mini-dev"),
    out: options.Out = Path("out/analysis/ablation"),
) -> None:
    """Train networks with one field of their recipe changed (Figs. J-N), or edit on 1 to 3 samples, and compare.

    Settings are chosen on dev data; give --data mini for what is published. OUT gets banks, networks,
    runs, WHAT.csv and WHAT.png; for samples, the editor's checkpoint is the one that was trained here.

    Args:
        what: Study of the editor (hypernetwork: T, inner-lr, lambda, blocks, pseudo); or samples, which trains none.
        seeds: Seeds of the fits; each value is fitted once a seed.
        sparsities: Knob values at which each network is scored.
    """
    border = on.border()
    judge, chosen = on.judge(), on.choose(editor)
    if what == "samples":
        title = ablations.SAMPLES_TITLE
        lines = ablations.of_samples(chosen, judge, sparsities, on.settings, out, border)
    else:
        title = ablations.find_study(chosen, what).title
        shared = StudyOptions(recipe, bank_size, iterations)
        lines = ablations.of_recipe(
            what, chosen, judge, open_training_images(images), shared, seeds, sparsities, on.settings, out, border
        )
    _show_curves(lines, f"Ablation: {title}", out / what)


def curve(
    folders: tyro.conf.Positional[options.RunFolders] = (), out: options.Out = Path("out/analysis/curve")
) -> None:
    """The GR-LR curves of finished runs, from their records alone (Figs. 4 and 5).

    Runs that differ only in their seed, or in the file an editor learned from, are repetitions of one line.
    OUT gets curve.csv and curve.png.
    """
    records = [record for _, record in find_newest(folders)]
    _show_curves(curves.lines(records), "Generalisation and locality", out / "curve")


def swap(folders: tyro.conf.Positional[options.RunFolders] = (), out: options.Out = Path("out/analysis/swaps")) -> None:
    """Measure how far edits merely exchange two classes: LR on images of the base's wrong class, and elsewhere.

    Not in the paper; from finished runs alone. OUT gets swaps.csv.
    """
    runs = find_newest(folders)
    check_comparable([record for _, record in runs])
    results = [
        (record.editor.spec, swaps.count_swaps(outcomes.read(path.parent, record.outcomes.sha256)))
        for path, record in runs
    ]
    curves.write_csv(out / "swaps.csv", [{"editor": spec, **asdict(result)} for spec, result in results])
    _table(["editor", "LR of the class taken from", "LR of others", "lost to the edit's class"], [
        [spec, *(cell(Score(value=share)) for share in (result.of_z, result.of_others, result.exchanged))]
        for spec, result in results
    ])  # fmt: skip
    print(out / "swaps.csv")


def _show_curves(lines: Sequence[curves.Line], title: str, path: Path) -> None:
    """Write GR-LR curves as csv and figure, and print their points."""
    rows = curves.rows(lines)
    curves.write_csv(path.with_suffix(".csv"), rows)
    figures.gr_lr(lines, f"{title}\n{shared(lines[0].runs[0][0])}", path.with_suffix(".png"))
    _table(["line", "knob", "SR", "GR", "LR"], [
        [line.label, "" if point.value is None else f"{line.knob} {point.value:g}", *map(cell, point.scores.values())]
        for line in lines
        for point in line.points
    ])  # fmt: skip
    _written(path)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    show_table(header, rows, n_text=2)
    print("Per cent.")


def _written(path: Path) -> None:
    print(f"{path.with_suffix('.csv')}   {path.with_suffix('.png')}")


main: dict[str, Command] = {
    "layers": layers,
    "iou": iou,
    "ablation": ablation,
    "curve": curve,
    "swaps": swap,
}

if __name__ == "__main__":
    run(main, about=__doc__ or "")
