"""An editor, a base model and a benchmark -> a record and its outcomes, streamed and resumable."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from benchmark.core.blame import located
from benchmark.core.devices import device_name, exact_float32, float32_settings
from benchmark.core.errors import UserError
from benchmark.core.files import replacing
from benchmark.core.readers import read_json
from benchmark.core.text import printable
from benchmark.core.workdir import claim, taken, working
from benchmark.data.dataset import training_images
from benchmark.models.identity import probes_agree
from benchmark.models.vit import edits_at_once
from editors.core.base import TrainingImages
from editors.core.edit import Edit, FailedEdit
from editors.core.interpolation import interpolated
from editors.core.registry import ChosenEditor
from leaderboard.judging.border import Border, EditorBehindBorder
from leaderboard.judging.editing import EditorAtWork
from leaderboard.judging.judge import Judge
from leaderboard.judging.run_spec import RUN, RunSpec, own_folder
from leaderboard.judging.sampling import Settings, chosen_samples, edit_seed, with_partners
from leaderboard.judging.two_pass import add_up
from leaderboard.records import environment, outcomes, record
from leaderboard.records.sections import Costs, Environment, NoiseFloor, TwoPassSection
from leaderboard.scores import metrics
from leaderboard.scores.summary import outcome_section, score_sections

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
) -> record.Record:
    """Edit every sample (or `limit` of them), judge each edited model, write the record; continue a stopped run.

    `folder` holds this run alone, or, if `below`, one folder for each run, named by its editor and key:
    ``run.json`` (what it is a run of), parts or ``outcomes.parquet``, ``samples.parquet`` and, at the end,
    ``record.json``. Behind a `border` the editor works in another process;
    without one, in this. Raises `UserError` if another run lies there, and for an editor that breaks.
    """
    in_process, limit = border is None, settings.edit_timeout
    if in_process and limit is not None:
        raise UserError("--edit-timeout ends the editor's process, so it needs one; leave --in-process out")
    with closing(
        EditorAtWork(chosen_editor, judge.base) if border is None else border.open(chosen_editor, judge.base, limit)
    ) as editor:
        return _evaluate(chosen_editor, editor, judge, settings, folder, progress, in_process, below)


def _evaluate(
    chosen_editor: ChosenEditor,
    editor: EditorAtWork | EditorBehindBorder,
    judge: Judge,
    settings: Settings,
    folder: Path,
    progress: bool,
    in_process: bool,
    below: bool,
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
        _write_samples(folder, judge)
        rows = with_partners(benchmark, chosen_samples(benchmark, settings), settings)
        if not outcomes.are_joined(folder, rows[:, 0].tolist()):
            _edit_all(chosen_editor, editor, judge, rows, batch, settings.seed, folder, progress)
        outcomes.discard_parts(folder)
        passes = outcomes.read_passes(folder)
        result = _record(judge, run_spec, fit_seconds, editor.hidden, outcomes.read(folder), passes)
        result.write(folder / "record.json")
        return result


def _edit_all(
    chosen_editor: ChosenEditor,
    editor: EditorAtWork | EditorBehindBorder,
    judge: Judge,
    rows: np.ndarray,
    batch: int,
    seed: int,
    folder: Path,
    progress: bool,
) -> None:
    """Edit and judge the samples `rows` (m, n), batch by batch, but for those whose outcomes are on disk."""
    batches = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    done = outcomes.parts_done(folder, [batch_rows[:, 0].tolist() for batch_rows in batches])
    name = printable(chosen_editor.name)
    if judge.two_pass:
        judge.two_pass.begin()
    with tqdm(total=len(rows), initial=sum(done), unit="edit", desc=name, disable=not progress, leave=False) as bar:
        for batch_index, (batch_rows, n_done) in enumerate(zip(batches, done, strict=True)):
            if n_done == len(batch_rows):
                continue
            part = outcomes.read_part(folder, batch_index) if n_done else outcomes.Part()
            saved = time.monotonic()
            try:
                for outcome_row in _edit_batch(chosen_editor, editor, judge, batch_rows, seed, n_done):
                    part.rows.append(outcome_row)
                    if judge.two_pass:
                        part.passes.append(asdict(judge.two_pass.take_tally()))
                    bar.update()
                    if time.monotonic() - saved > SAVE_EVERY:
                        outcomes.write_part(folder, batch_index, part)
                        saved = time.monotonic()
            finally:  # a batch that was stopped keeps what was judged
                if len(part.rows) > n_done:
                    outcomes.write_part(folder, batch_index, part)
    editor.check_base()
    outcomes.join_parts(folder, len(batches))


def training_pool(judge: Judge) -> TrainingImages:
    """Images that editors may learn from: the benchmark's training images, without those that are scored."""
    base, benchmark = judge.base, judge.benchmark
    load = partial(training_images, benchmark.train or benchmark.source, benchmark.scored_hashes)
    return TrainingImages(load, base.preprocessing, base.device)


def _edit_batch(
    chosen_editor: ChosenEditor,
    editor: EditorAtWork | EditorBehindBorder,
    judge: Judge,
    rows: np.ndarray,
    seed: int,
    n_done: int,
) -> Iterator[dict[str, Any]]:
    """Edit and judge a batch of samples (m, n), each row on its own; an outcome row for each but the first `n_done`.

    Those are edited again where the editor edits the batch at once, since the batch moves roundings.
    """
    if editor.one_by_one:
        rows, n_done = rows[n_done:], 0
    base, table = judge.base, judge.benchmark.edit
    images = table.images(base.preprocessing, rows.flatten().tolist()).unflatten(0, rows.shape)
    images = images.to(base.device, next(base.module.parameters()).dtype)
    labels = torch.as_tensor(table.labels[rows], device=base.device)
    hashes = [table.table["sha256"].iloc[row] for row in rows[:, 0]]
    seeds = [edit_seed(seed, name) for name in hashes]
    edits = zip(rows, _edits(editor, images, labels, seeds, hashes), strict=True)
    for (row, *partners), (edit, seconds) in islice(edits, n_done, None):
        group_id = table.table["group_id"].iloc[row]
        try:
            if chosen_editor.interpolate != 1:
                edit = interpolated(base.module, edit, chosen_editor.interpolate)
            start = time.perf_counter()
            group_predictions, locality_predictions, forward_path = judge.predict(edit, group_id)
        except UserError as error:
            if str(error).startswith(chosen_editor.name):
                raise
            raise UserError(f"{chosen_editor.name}: {located(str(error), editor.edit_at)}") from error
        yield {
            "sample": int(row),
            "partners": partners,
            "group_id": group_id,
            "steps": edit.steps,
            "seconds": seconds,
            "score_seconds": time.perf_counter() - start,
            "failure": edit.reason if isinstance(edit, FailedEdit) else None,
            "scored": forward_path,
            "group_predictions": group_predictions,
            "locality_predictions": locality_predictions,
        }


def _edits(
    editor: EditorAtWork | EditorBehindBorder,
    images: Tensor,
    labels: Tensor,
    seeds: Sequence[int],
    hashes: Sequence[str],
) -> Iterator[tuple[Edit, float]]:
    """Each edit and its seconds. An editor that makes one at a time is asked for the next when the last was judged."""
    at_once = 1 if editor.one_by_one else len(seeds)
    for start in range(0, len(seeds), at_once):
        batch = slice(start, start + at_once)
        edits = editor.edit(images[batch], labels[batch], seeds[batch], hashes[start][:12])
        yield from ((edit, editor.seconds / len(edits)) for edit in edits)


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


def _write_samples(folder: Path, judge: Judge) -> None:
    table = outcomes.sample_table(judge.benchmark, judge.base_edit, judge.base_locality)
    with replacing(folder / "samples.parquet") as temporary:
        table.to_parquet(temporary, index=False)


def _record(
    judge: Judge,
    run_spec: RunSpec,
    fit_seconds: float,
    hidden: bool,
    run: outcomes.Outcomes,
    passes: Sequence[Mapping[str, float]],
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
            peak_memory_mb=environment.peak_memory_mb(judge.base.device),
        ),
        noise_floor=NoiseFloor(flips=flips, images=images),
        two_pass=TwoPassSection(**asdict(add_up(passes))) if judge.two_pass else None,
        outcomes=outcome_section(run),
        scores=score_sections(metrics.compute_hits(run)),
    )
