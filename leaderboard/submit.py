"""Score editing methods: a table, and a record that others can trust."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.core.cluster import connect
from benchmark.core.devices import pick
from benchmark.core.errors import UserError
from benchmark.core.ranges import Positive
from benchmark.data import dataset
from benchmark.models.names import split_spec
from editors.core.base import knob_of
from editors.core.registry import ChosenEditor, choose, expand
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.plan import planned
from leaderboard.judging.run_spec import own_folder
from leaderboard.judging.sampling import Settings
from leaderboard.judging.spread import judging_cluster, make_judge
from leaderboard.judging.two_pass import TwoPass
from leaderboard.records.main_table import off_main_table
from leaderboard.records.record import Record
from leaderboard.records.runs import RUNS
from leaderboard.records.sections import FLOAT32, TWO_PASS
from leaderboard.scores import tables
from leaderboard.submissions.card import CARD
from leaderboard.submissions.packing import check_place, pack, sources_of

log = logging.getLogger(__name__)


def score(
    editors: Sequence[str],
    base: str,
    data: str,
    out: Path,
    settings: Settings,
    sweep: Sequence[float] | None = None,
    interpolate: Sequence[float] = (),
    device: str = "cpu",
    images: str | None = None,
    in_process: bool = False,
    settings_file: Path | None = None,
    precision: str = FLOAT32,
    on_ray: bool = False,
) -> list[Record]:
    """Score editors one after the other on one base and benchmark; finished runs in `out` are not repeated.

    ``all`` stands for every editor that comes with this project. `sweep` gives each editor's knob these values, or the
    values the editor names if it is empty; `interpolate` scores each at these points between the base and the edited
    model. `images` are those that editors learn from, if not the data itself. Each editor works in a process of its own
    or, to be debugged, `in_process`. `settings_file` is one that `leaderboard.tune` wrote. `precision` is float32, or
    two-pass on a GPU. `on_ray` spreads the edits over a Ray cluster, whose machines find editors' files, base and data
    by the same names. Raises `UserError` for another one.
    """
    if on_ray:
        connect()  # before anything is loaded
    two_pass = _passes(precision, torch_device := pick(device), settings.seed)
    border = None if in_process else Border(dataset.scored_files(data))
    choose_editor = border.choose if border else choose
    base_name = split_spec(base)[0]
    chosen_editors = [
        each for spec in expand(editors) for each in _at_knobs(choose_editor(spec, base_name, settings_file), sweep)
    ]
    if interpolate:
        chosen_editors = [replace(each, interpolate=alpha) for each in chosen_editors for alpha in interpolate]
    chosen_editors = list({each.spec: each for each in chosen_editors}.values())
    for note in dict.fromkeys(note for chosen_editor in chosen_editors for note in chosen_editor.notes):
        log.warning(note)
    judge = make_judge(base, data, images, torch_device, two_pass)
    log.info("%s gets wrong: %s", judge.base.name, judge.benchmark.kept_counts)
    log.info("%s: %s", out, planned(chosen_editors, judge, settings, out, in_process))
    with (
        judging_cluster(base, data, images, torch_device, two_pass, in_process) if on_ray else nullcontext() as cluster
    ):
        return [
            evaluate(chosen_editor, judge, settings, out, border=border, below=True, cluster=cluster, on_trial=True)
            for chosen_editor in chosen_editors
        ]


def _passes(precision: str, device: torch.device, seed: int) -> TwoPass | None:
    """Two passes, or None for one."""
    if precision == FLOAT32:
        return None
    if precision != TWO_PASS:
        raise UserError(f"scores are float32's; take --precision {TWO_PASS}, which is as fast, and not {precision}")
    if device.type != "cuda":
        raise UserError(f"--precision {TWO_PASS} needs a CUDA GPU, which has TF32; leave it out")
    return TwoPass(seed=seed)


def _at_knobs(chosen_editor: ChosenEditor, sweep: Sequence[float] | None) -> list[ChosenEditor]:
    if sweep is None:
        return [chosen_editor]
    knob = knob_of(chosen_editor.config)
    if knob is None:
        log.warning("%s has no knob, so --sweep scores it once, as it is", chosen_editor.name)
        return [chosen_editor]
    return [chosen_editor.at_knob(value) for value in (sweep or knob.sweep)]


def main(
    editors: Annotated[tuple[str, ...], tyro.conf.Positional],
    base: options.Base = "mini",
    data: options.Data = "mini",
    limit: options.Limit = None,
    groups: options.Groups = (),
    sweep: tuple[float, ...] | None = None,
    interpolate: tuple[float, ...] = (),
    in_process: bool = False,
    edit_timeout: Positive | None = None,
    seed: options.Seed = 0,
    images: options.OptionalImages = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    engine: options.Engine = "local",
    settings: Path | None = None,
    intervals: options.Intervals = False,
    out: options.Out = RUNS,
    submission: Annotated[Path | None, tyro.conf.arg(name="as")] = None,
) -> None:
    """Score editors and print the table; records and outcomes go to OUT, one folder a run.

    An editor is a name (python -m editors lists them; all means every one of this project), a name with settings
    (ft-l2:c=0.01) or your own class (my_editor.py:MyEditor; leaderboard.new writes one to start from). Stop it when you
    like: the same command goes on where it stopped.

    --limit draws samples to edit, spread over the groups; what an edit is judged on stays whole.
    --images are for editors that learn from some first, where DATA has no train split. With --engine ray, editors'
    files, base and data must be there under the same names on every machine (docs/scaling.md).

    Args:
        editors: Editors to score, one or more.
        sweep: Score each editor at several values of its knob; without values, at those the editor names.
        interpolate: Score theta0 + alpha (theta1 - theta0) at these alphas; 1 is the edited model, 0 the base.
        edit_timeout: Seconds after which an edit has failed; without it, an edit may take its time.
        settings: File of editors' settings that leaderboard.tune wrote; what EDITORS say goes first.
        in_process: Let editors work in the judge's own process, to debug one; the record says so.
        submission: Folder to write the runs of one editor to, to hand them in (docs/submitting.md).
    """
    if not editors:
        raise UserError("which editor? for example: python -m leaderboard.submit ft --limit 40")
    if submission is not None:
        check_place(submission, editors)  # here already: what it refuses should not cost hours
    sampling = Settings(seed, limit, groups, edit_timeout=edit_timeout)
    records = score(
        *(editors, base, data, out, sampling, sweep, interpolate, device, images, in_process, settings, precision),
        on_ray=engine == "ray",
    )
    tables.show(records, intervals)
    print(f"records: {out}   the newest of each: python -m leaderboard.tables{'' if out == RUNS else f' {out}'}")
    if submission is not None:
        _hand_in(editors, records, out, submission)


def _hand_in(editors: Sequence[str], records: Sequence[Record], out: Path, submission: Path) -> None:
    """Write the submission of these runs, and say what to do next."""
    sources = next(filter(None, map(sources_of, editors)), [])
    left_out = pack([own_folder(out, record) for record in records], sources, submission)
    print(f"submission: {submission}   fill in {submission / CARD}, then: python -m leaderboard.verify {submission}")
    print("and open a pull request that adds this one folder below leaderboard/results (docs/submitting.md)")
    for sentence in left_out:
        print(f"left out: {sentence}")
    if reason := next(filter(None, map(off_main_table, records)), ""):
        print(f"not for the main table: {reason}")


if __name__ == "__main__":
    run(main)
