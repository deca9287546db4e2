"""One batch of a run's edits: what an editor may learn from before it, the edits, and their outcomes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from typing import Any, Protocol, TypeAlias

import numpy as np
from torch import Tensor

from benchmark.core.blame import located
from benchmark.core.errors import UserError
from benchmark.data.training import training_images
from editors.core.base import TrainingImages
from editors.core.edit import Edit, FailedEdit
from editors.core.interpolation import interpolated
from editors.core.registry import ChosenEditor
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import EditingBatch, Settings, load_batch
from leaderboard.records import outcomes

SampleEdit: TypeAlias = tuple[np.ndarray, Edit]  # rows of the editing samples (n,), and the edit that was made on them


@dataclass(frozen=True)
class RunOrder:
    """A run as every worker must have it: `hidden`, `fields` and `probe` are the driver's, to be compared.

    See `EditorBehindBorder` and `RunSpec`. `at_once`: edits that are judged at once, at most.
    """

    chosen_editor: ChosenEditor
    settings: Settings
    batch_size: int
    at_once: int
    hidden: bool
    key: str
    fields: dict[str, Any]
    probe: dict[int, float]


class AtWork(Protocol):
    """An editor that can be asked for edits, wherever it works: see `EditorAtWork`, which has the same."""

    @property
    def one_by_one(self) -> bool:
        """True if it makes one edit after the other."""

    @property
    def edit_at(self) -> str:
        """File and line of the code that makes its edits."""

    @property
    def seconds(self) -> float:
        """Seconds of what its code did last."""

    def edit(self, images: Tensor, labels: Tensor, seeds: Sequence[int], sample: str) -> list[Edit]:
        """Edits of m failures."""


def training_pool(judge: Judge) -> TrainingImages:
    """Images that editors may learn from: the benchmark's training images, without those that are scored."""
    base, benchmark = judge.base, judge.benchmark
    load = partial(training_images, benchmark.train or benchmark.source, benchmark.scored_hashes)
    return TrainingImages(load, base.preprocessing, base.device)


def edit_batch(run: RunOrder, editor: AtWork, judge: Judge, rows: np.ndarray, n_done: int) -> Iterator[outcomes.Part]:
    """Edit and judge a batch of samples (m, n), each row on its own; the outcomes of all but the first `n_done`.

    They come as they are judged: one by one, or those together that were judged at once. The first are edited again
    where the editor edits the batch at once, since the batch moves roundings.
    """
    if editor.one_by_one:
        rows, n_done = rows[n_done:], 0
    base, table = judge.base, judge.benchmark.edit
    for asked, edits in _edits(editor, load_batch(base, table, rows, run.settings.seed)):
        seconds = editor.seconds / len(edits)
        missing = [*zip(rows[asked], edits, strict=True)][n_done:]
        for together in _judged_together(missing, judge, run.at_once):
            yield _judge(run.chosen_editor, judge, together, seconds, editor.edit_at)


def _edits(editor: AtWork, samples: EditingBatch) -> Iterator[tuple[slice, list[Edit]]]:
    """Edits and the samples of which they are. An editor that makes one at a time is asked for the next when the last
    was judged."""
    count = len(samples.seeds)
    at_once = 1 if editor.one_by_one else count
    for start in range(0, count, at_once):
        images, labels, seeds, hashes = samples.take(range(start, min(count, start + at_once)))
        yield slice(start, start + at_once), editor.edit(images, labels, seeds, hashes[0][:12])


def _judged_together(edits: Sequence[SampleEdit], judge: Judge, at_once: int) -> Iterator[list[SampleEdit]]:
    """Edits in order, up to `at_once` of one group that are alike together, each other one alone.

    Of edits that begin where some were judged together, the rest is the same: so a resumed run judges as it would have.
    """
    for (_, likeness), alike in groupby(edits, lambda made: (_group_of(judge, made[0]), judge.likeness(made[1]))):
        most, rest = at_once if likeness else 1, [*alike]
        yield from (rest[start : start + most] for start in range(0, len(rest), most))


def _judge(
    chosen_editor: ChosenEditor, judge: Judge, together: Sequence[SampleEdit], seconds: float, edit_at: str
) -> outcomes.Part:
    """The outcomes of edits that are judged at once, each of which took `seconds` to make."""
    edits, group_id = [edit for _, edit in together], _group_of(judge, together[0][0])
    try:
        if chosen_editor.interpolate != 1:
            edits = [interpolated(judge.base.module, edit, chosen_editor.interpolate) for edit in edits]
        start = time.perf_counter()
        taken_for = [int(judge.base_edit[samples[0]]) for samples, _ in together]
        predictions = judge.predict_many(edits, group_id, taken_for)
        score_seconds = (time.perf_counter() - start) / len(edits)
    except UserError as error:
        if str(error).startswith(chosen_editor.name):
            raise
        raise UserError(f"{chosen_editor.name}: {located(str(error), edit_at)}") from error
    rows = [
        {
            "sample": int(samples[0]),
            "partners": samples[1:].tolist(),
            "group_id": group_id,
            "steps": edit.steps,
            "seconds": seconds,
            "score_seconds": score_seconds,
            "failure": edit.reason if isinstance(edit, FailedEdit) else None,
            "scored": prediction.path,
            **prediction.columns,
        }
        for (samples, _), edit, prediction in zip(together, edits, predictions, strict=True)
    ]
    return outcomes.Part(rows, [asdict(judge.two_pass.take_tally())] if judge.two_pass else [])


def _group_of(judge: Judge, samples: np.ndarray) -> str:
    return str(judge.benchmark.edit.table["group_id"].iloc[samples[0]])
