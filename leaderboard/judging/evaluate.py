"""An editor, a base model and a benchmark -> a record and its outcomes, streamed and resumable."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from tqdm.auto import tqdm

from benchmark.core.devices import device_name, exact_float32, float32_settings
from benchmark.core.errors import UserError
from benchmark.core.files import replacing
from benchmark.core.readers import read_json
from benchmark.core.text import printable
from benchmark.core.workdir import claim, taken, working
from benchmark.models.identity import probes_agree
from benchmark.models.vit import edits_at_once
from editors.core.registry import ChosenEditor
from leaderboard.judging.at_once import GAIN, MOST, measure_gain
from leaderboard.judging.batches import RunOrder, edit_batch, training_pool
from leaderboard.judging.border import Border, EditorBehindBorder
from leaderboard.judging.editing import EditorAtWork
from leaderboard.judging.judge import Judge
from leaderboard.judging.run_spec import RUN, RunSpec, own_folder
from leaderboard.judging.sampling import Settings, chosen_samples, with_partners
from leaderboard.judging.spread import JudgingCluster, edit_on_cluster
from leaderboard.judging.trial import SHORT, trial_batch, try_shortly
from leaderboard.judging.two_pass import add_up
from leaderboard.records import environment, outcomes, record
from leaderboard.records.samples import SAMPLES_FILE
from leaderboard.records.sections import AtOnce, CheckSection, Costs, Environment, NoiseFloor, TwoPassSection
from leaderboard.scores import metrics
from leaderboard.scores.summary import outcome_section, score_sections

log = logging.getLogger(__name__)

SAVE_EVERY = 10.0  # seconds after which edits that were judged are written, though their batch is not done


@exact_float32()
def evaluate(
    chosen_editor: ChosenEditor,
    judge: Judge,
    settings: Settings,
    folder: Path,
    progress: bool = True,
    border: Border | None = None,
    *,
    below: bool = False,
    cluster: JudgingCluster | None = None,
    on_trial: bool = False,
) -> record.Record:
    """Edit every sample (or `limit` of them), judge each edited model, write the record; continue a stopped run.

    `folder` holds this run alone, or, if `below`, one folder for each run, named by its editor and key:
    ``run.json`` (what it is a run of), parts or ``outcomes.parquet``, ``samples.parquet`` and, at the end,
    ``record.json``. Behind a `border` the editor works in another process;
    without one, in this. On a `cluster`, whose workers must do as `border` does here, batches are edited and judged
    there. `on_trial`: first the checks of `leaderboard.judging.trial`, in short, which are then part of the record.
    Raises `UserError` if another run lies there, and for an editor that breaks.
    """
    in_process, limit = border is None, settings.edit_timeout
    if in_process and limit is not None:
        raise UserError("--edit-timeout ends the editor's process, so it needs one; leave --in-process out")
    with contextlib.closing(
        EditorAtWork(chosen_editor, judge.base) if border is None else border.open(chosen_editor, judge.base, limit)
    ) as editor:
        return _evaluate(chosen_editor, editor, judge, settings, folder, progress, in_process, below, cluster, on_trial)


def _evaluate(
    chosen_editor: ChosenEditor,
    editor: EditorAtWork | EditorBehindBorder,
    judge: Judge,
    settings: Settings,
    folder: Path,
    progress: bool,
    in_process: bool,
    below: bool,
    cluster: JudgingCluster | None,
    on_trial: bool,
) -> record.Record:
    base, benchmark = judge.base, judge.benchmark
    fit_seconds = editor.fit(training_pool(judge), settings.seed)
    batch = settings.edit_batch or edits_at_once(base.module, base.device)
    run_spec = RunSpec.of(chosen_editor, editor, judge, settings, batch, in_process)
    folder = own_folder(folder, run_spec) if below else folder
    with working(folder, RUN, run_spec.note):
        _compare_probes(folder, run_spec)
        if (folder / "record.json").is_file():
            return record.read(folder / "record.json")
        judge.noise_floor()  # here already: what it refuses should not cost hours
        at_once = _choose_at_once(folder, judge, 1 if editor.one_by_one else batch)
        _write_samples(folder, judge)
        rows = with_partners(benchmark, chosen_samples(benchmark, settings), settings)
        checks = try_shortly(editor, judge, trial_batch(judge, settings, SHORT)) if on_trial else None
        _warn(chosen_editor, checks or ())
        peak = environment.peak_memory_mb(base.device)
        if not outcomes.are_joined(folder, rows[:, 0].tolist()):
            probe = run_spec.base.probe or {}
            run = RunOrder(
                chosen_editor, settings, batch, at_once.edits, editor.hidden, run_spec.key, run_spec.fields, probe
            )
            peak = _edit_all(run, editor, judge, rows, folder, progress, cluster) or peak
        outcomes.discard_parts(folder)
        passes = outcomes.read_passes(folder)
        run_outcomes = outcomes.read(folder)
        result = _record(judge, run_spec, fit_seconds, peak, at_once, editor.hidden, run_outcomes, passes, checks)
        result.write(folder / "record.json")
        return result


def _edit_all(
    run: RunOrder,
    editor: EditorAtWork | EditorBehindBorder,
    judge: Judge,
    rows: np.ndarray,
    folder: Path,
    progress: bool,
    cluster: JudgingCluster | None,
) -> float | None:
    """Edit and judge the samples `rows` (m, n), batch by batch, but for those on disk; the peak memory, MiB."""
    batches = [rows[start : start + run.batch_size] for start in range(0, len(rows), run.batch_size)]
    done = outcomes.parts_done(folder, [batch_rows[:, 0].tolist() for batch_rows in batches])
    name, peak = printable(run.chosen_editor.name), None
    with tqdm(total=len(rows), initial=sum(done), unit="edit", desc=name, disable=not progress, leave=False) as bar:
        if cluster is not None:
            peak = edit_on_cluster(cluster, run, batches, done, folder, bar)
        else:
            _edit_here(run, editor, judge, batches, done, folder, bar)
    editor.check_base()
    outcomes.join_parts(folder, len(batches))
    return peak if cluster else environment.peak_memory_mb(judge.base.device)


def _edit_here(
    run: RunOrder,
    editor: EditorAtWork | EditorBehindBorder,
    judge: Judge,
    batches: Sequence[np.ndarray],
    done: Sequence[int],
    folder: Path,
    bar: tqdm,
) -> None:
    if judge.two_pass:
        judge.two_pass.begin()
    for batch_index, (batch_rows, n_done) in enumerate(zip(batches, done, strict=True)):
        if n_done == len(batch_rows):
            continue
        part = outcomes.read_part(folder, batch_index) if n_done else outcomes.Part()
        saved = time.monotonic()
        try:
            for new_part in edit_batch(run, editor, judge, batch_rows, n_done):
                part.extend(new_part)
                bar.update(len(new_part.rows))
                if time.monotonic() - saved > SAVE_EVERY:
                    outcomes.write_part(folder, batch_index, part)
                    saved = time.monotonic()
        finally:  # a batch that was stopped keeps what was judged
            if len(part.rows) > n_done:
                outcomes.write_part(folder, batch_index, part)


def _compare_probes(folder: Path, run_spec: RunSpec) -> None:
    """Compare the base's answers to the probe with those that the run was begun with.

    Raises `UserError` if the base, by its identity the same, answered otherwise.
    """
    note = read_json(folder / RUN.note, fix=RUN.fix)
    probe, precision = run_spec.base.probe or {}, run_spec.protocol.number_format
    if (begun_with := note.get("probe")) is None:
        claim(folder, RUN, {**note, "probe": probe})
    elif not probes_agree(probe, {int(label): logit for label, logit in begun_with.items()}, precision):
        raise taken(folder, f"was begun where {run_spec.base.name} answered a fixed image otherwise", RUN.fix)


def _choose_at_once(folder: Path, judge: Judge, most: int) -> AtOnce:
    """The number of edits judged at once, of `most` that come together: as the run was begun, or measured, and kept."""
    note = read_json(folder / RUN.note, fix=RUN.fix)
    with contextlib.suppress(ValidationError):
        return AtOnce.model_validate(note.get("at_once"))
    most = min(MOST, most)
    gain = measure_gain(judge, most)
    choice = AtOnce(edits=most if gain is not None and gain >= GAIN else 1, gain=gain)
    claim(folder, RUN, {**note, "at_once": choice.model_dump()})
    return choice


def _warn(chosen_editor: ChosenEditor, checks: Sequence[CheckSection]) -> None:
    for check in checks:
        if check.passed is False:
            log.warning(
                "%s fails a check, and is scored nevertheless: %s (%s); python -m leaderboard.check %s",
                *(chosen_editor.name, check.name, check.reason, chosen_editor.spec),
            )


def _write_samples(folder: Path, judge: Judge) -> None:
    table = outcomes.sample_table(judge.benchmark, judge.base_edit, judge.base_locality)
    with replacing(folder / SAMPLES_FILE) as temporary:
        table.to_parquet(temporary, index=False)


def _record(
    judge: Judge,
    run_spec: RunSpec,
    fit_seconds: float,
    peak_memory_mb: float | None,
    at_once: AtOnce,
    hidden: bool,
    run: outcomes.Outcomes,
    passes: Sequence[Mapping[str, float]],
    checks: tuple[CheckSection, ...] | None,
) -> record.Record:
    commit, dirty = environment.commit()
    flips, images = judge.noise_floor()
    edits = run.edits
    return record.Record(
        key=run_spec.key,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        editor=run_spec.editor,
        base=run_spec.base,
        data=run_spec.data,
        protocol=run_spec.protocol,
        environment=Environment(
            versions=environment.versions(),
            commit=commit,
            dirty=dirty,
            device_name=device_name(judge.base.device),
            float32=float32_settings(),
            answers_hidden=hidden,
        ),
        costs=Costs(
            fit_seconds=fit_seconds,
            median_edit_seconds=float(edits["seconds"].median()),
            median_score_seconds=float(edits["score_seconds"].median()),
            peak_memory_mb=peak_memory_mb,
            at_once=at_once,
        ),
        noise_floor=NoiseFloor(flips=flips, images=images),
        two_pass=TwoPassSection(**asdict(add_up(passes))) if judge.two_pass else None,
        checks=checks,
        outcomes=outcome_section(run),
        scores=score_sections(metrics.compute_hits(run)),
    )
