"""One batch of a run's edits: what an editor may learn from before it, the edits, and their outcome rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.core.blame import located
from benchmark.core.errors import UserError
from benchmark.data.dataset import training_images
from editors.core.base import TrainingImages
from editors.core.edit import Edit, FailedEdit
from editors.core.interpolation import interpolated
from editors.core.registry import ChosenEditor
from leaderboard.judging.border import EditorBehindBorder
from leaderboard.judging.editing import EditorAtWork
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import edit_seed


def training_pool(judge: Judge) -> TrainingImages:
    """Images that editors may learn from: the benchmark's training images, without those that are scored."""
    base, benchmark = judge.base, judge.benchmark
    load = partial(training_images, benchmark.train or benchmark.source, benchmark.scored_hashes)
    return TrainingImages(load, base.preprocessing, base.device)


def edit_batch(
    chosen_editor: ChosenEditor,
    editor: EditorAtWork | EditorBehindBorder,
    judge: Judge,
    rows: np.ndarray,
    seed: int,
    n_done: int,
) -> Iterator[tuple[dict[str, Any], list[dict[str, float]]]]:
    """Edit and judge a batch of samples (m, n), each row on its own; an outcome row for each but the first `n_done`.

    Beside it stand its counts of two passes, a list of one, or of none where the judge has one pass.
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
        outcome_row = {
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
        yield outcome_row, [asdict(judge.two_pass.take_tally())] if judge.two_pass else []


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
