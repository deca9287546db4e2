"""Batches of edits spread over a Ray cluster: the outcomes, and so the record, are those of one machine.

Each worker holds what one machine would: base, benchmark, judge, and the editor behind its border, fitted there. Before
its first batch it works out the run's spec itself, as the driver did, and refuses to help where anything that could
change a score is another: the device, a library's release, base, data, code, or what the editor learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from tqdm.auto import tqdm

from benchmark.core.cluster import Cluster, naming_this_node
from benchmark.core.devices import exact_float32
from benchmark.core.errors import UserError
from benchmark.core.workdir import difference
from benchmark.data import dataset
from benchmark.models.identity import probes_agree
from benchmark.models.load import load_base
from leaderboard.judging.batches import RunOrder, edit_batch, training_pool
from leaderboard.judging.border import Border, EditorBehindBorder
from leaderboard.judging.editing import EditorAtWork
from leaderboard.judging.judge import Judge
from leaderboard.judging.run_spec import RunSpec
from leaderboard.judging.two_pass import TwoPass
from leaderboard.records import environment, outcomes


@dataclass(frozen=True)
class Batch:
    """One batch of a run: samples `rows` (m, n); the outcomes of the first `n_done` are on the driver's disk."""

    run: RunOrder
    number: int
    rows: np.ndarray
    n_done: int


@dataclass(frozen=True)
class Judged:
    """The outcomes of a batch that were missing, and the peak memory of the worker so far, MiB."""

    part: outcomes.Part
    peak_memory_mb: float | None


JudgingCluster: TypeAlias = Cluster[Batch, Judged]


def make_judge(
    base: str, data: str, images: str | None, device: str | torch.device, two_pass: TwoPass | None = None
) -> Judge:
    """The judge of a base on a benchmark, by the names that a command line has for them.

    `images` are those that editors learn from, if not the data itself.
    """
    benchmark = dataset.load(data)
    benchmark = replace(benchmark, train=images or benchmark.train)
    return Judge(load_base(base, device=device), benchmark, two_pass=two_pass)


def judging_cluster(
    base: str, data: str, images: str | None, device: torch.device, two_pass: TwoPass | None, in_process: bool
) -> JudgingCluster:
    """Workers that judge as `evaluate` here would. Raises `UserError` where there is no cluster."""
    begin = partial(_begin, base, data, images, device.type, two_pass, in_process)
    return Cluster(begin, device.type == "cuda", "a batch of edits")


def _begin(
    base: str, data: str, images: str | None, device: str, two_pass: TwoPass | None, in_process: bool
) -> JudgeOnNode:
    border = None if in_process else Border(dataset.scored_files(data))
    return JudgeOnNode(make_judge(base, data, images, device, two_pass), border)


class JudgeOnNode:
    """A worker: called with a batch, it edits and judges it."""

    def __init__(self, judge: Judge, border: Border | None) -> None:
        self._judge, self._border = judge, border
        self._key = ""
        self._editor: EditorAtWork | EditorBehindBorder | None = None

    @exact_float32()
    def __call__(self, batch: Batch) -> Judged:
        """The outcomes of a batch that are missing. Raises `UserError` if this machine is not the driver's equal."""
        run, judge = batch.run, self._judge
        if self._editor is None or self._key != run.key:
            with naming_this_node():
                self._editor = self._begin_run(run)
            self._key = run.key
        part = outcomes.Part()
        for new_part in edit_batch(run, self._editor, judge, batch.rows, batch.n_done):
            part.extend(new_part)
        self._editor.check_base()
        return Judged(part, environment.peak_memory_mb(judge.base.device))

    def _begin_run(self, run: RunOrder) -> EditorAtWork | EditorBehindBorder:
        if self._editor is not None:
            self._editor.close()
        judge, border = self._judge, self._border
        if judge.two_pass:
            judge.two_pass.begin()
        if border is None:
            editor: EditorAtWork | EditorBehindBorder = EditorAtWork(run.chosen_editor, judge.base)
        else:
            editor = border.open(run.chosen_editor, judge.base, run.settings.edit_timeout)
        editor.fit(training_pool(judge), run.settings.seed)
        own = RunSpec.of(run.chosen_editor, editor, judge, run.settings, run.batch_size, border is None)
        if other := difference(own.fields, run.fields):
            raise UserError(f"its edits would not be those of this run ({other}); take it out of the cluster")
        if run.hidden and not editor.hidden:
            raise UserError("an editor's process sees what is scored there, and not here; take it out of the cluster")
        if not probes_agree(own.base.probe or {}, run.probe, own.protocol.number_format):
            raise UserError("its base answers a fixed image otherwise than here; take it out of the cluster")
        return editor


def edit_on_cluster(
    cluster: JudgingCluster, run: RunOrder, batches: Sequence[np.ndarray], done: Sequence[int], folder: Path, bar: tqdm
) -> float | None:
    """Write the outcomes of each batch that are missing in `folder`, as they come; the workers' peak memory, MiB.

    `done` has the number of first edits of each batch that are on disk.
    """
    missing = [
        Batch(run, number, rows, n_done)
        for number, (rows, n_done) in enumerate(zip(batches, done, strict=True))
        if n_done < len(rows)
    ]
    peaks = []
    for batch, result in cluster.map(missing):
        part = outcomes.read_part(folder, batch.number) if batch.n_done else outcomes.Part()
        part.extend(result.part)
        outcomes.write_part(folder, batch.number, part)
        bar.update(len(result.part.rows))
        peaks.append(result.peak_memory_mb)
    return max((peak for peak in peaks if peak is not None), default=None)
