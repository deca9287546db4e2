"""Edits of a submission made again: by its source, in a process that is given nothing else, and judged here."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.core.devices import exact_float32
from benchmark.core.errors import UserError
from benchmark.core.files import sha256, walk
from benchmark.core.text import printable
from benchmark.data.dataset import LabelledImages, scored_files
from benchmark.images.memory import EncodedImages
from editors.core.base import TrainingImages
from editors.core.edit import Edit
from editors.core.registry import ChosenEditor, installed_editor
from leaderboard.judging.batches import RunOrder, edit_batch, training_pool
from leaderboard.judging.border import Border, EditorBehindBorder
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.judging.seal import Seal
from leaderboard.records.columns import PREDICTIONS
from leaderboard.records.record import Record
from leaderboard.records.sections import PackageSection
from leaderboard.submissions.layout import FILES, SOURCE
from leaderboard.submissions.submission import Submission, SubmittedRun
from leaderboard.submissions.verification import Rerun

EDIT_SECONDS = 120.0  # that an edit may take where its run set no limit
MOST_SECONDS = 600.0  # that it may take at most


@exact_float32()
def rerun(
    submission: Submission, run: SubmittedRun, judge: Judge, share: float, seed: int, trust_code: bool = False
) -> Rerun:
    """Make a random `share` of a run's edits again, at least one, in another order, and compare them with its outcomes.

    The editor works in a fresh process that is shut in (`leaderboard.judging.seal`), or, if its code is trusted, in one
    that is not. Raises `UserError` for outcomes that differ by more than the noise floor, for a system that cannot shut
    a process in, for files that cannot be had, and for an editor that breaks.
    """
    rng = np.random.default_rng(seed)
    edits = run.outcomes.edits
    rows = rng.permutation(len(edits))[: math.ceil(share * len(edits))]
    border = Border(seal=None if trust_code else _seal(submission, judge))
    chosen_editor = _choose(submission, run.record, border)
    protocol = run.record.protocol
    limit = min(protocol.edit_timeout or EDIT_SECONDS, MOST_SECONDS)
    settings = Settings(protocol.seed, samples_per_edit=protocol.samples_per_edit)
    order = RunOrder(chosen_editor, settings, protocol.edit_batch, 1, not trust_code, run.record.key, {}, {})
    made: list[dict[str, Any]] = []
    with closing(border.open(chosen_editor, judge.base, limit)) as editor:
        if editor.learns:
            editor.fit(_in_memory(judge), protocol.seed)
        samples = [[edits["sample"][row], *edits["partners"][row]] for row in rows]
        for batch in _batches(np.array(samples), protocol.edit_batch):
            for part in edit_batch(order, Unseen(editor, rng), judge, batch, 0):
                made += part.rows
        editor.check_base()
    compared, differing = _compare(run, rows, made)
    hashes = judge.benchmark.edit.table["sha256"]
    names = [str(hashes.iloc[edits["sample"][row]]) for row in rows]
    return Rerun(
        share=share, seed=seed, samples=names, predictions=compared, differing=differing, shut_in=not trust_code
    )


class Unseen:
    """An editor at work that is given images that it has never seen: the samples, each pixel a rounding further.

    No method notices, since all of them compute in such roundings; a table of answers by the hash of an image does.
    """

    def __init__(self, editor: EditorBehindBorder, rng: np.random.Generator) -> None:
        self._editor, self._rng = editor, rng
        self.one_by_one, self.edit_at = editor.one_by_one, editor.edit_at

    @property
    def seconds(self) -> float:
        """Seconds of what its code did last."""
        return self._editor.seconds

    def edit(self, images: Tensor, labels: Tensor, seeds: Sequence[int], sample: str) -> list[Edit]:
        """See `EditorAtWork.edit`."""
        up = torch.from_numpy(self._rng.integers(0, 2, images.shape, dtype=np.int8)).to(images.device) * 2 - 1
        moved = torch.nextafter(images, images + up * images.abs().clamp(min=1e-3))
        return self._editor.edit(moved, labels, seeds, sample)


def _seal(submission: Submission, judge: Judge) -> Seal:
    readable = tuple(folder for name in (SOURCE, FILES) if (folder := submission.folder.resolve() / name).is_dir())
    devices = tuple(sorted(Path("/dev").glob("nvidia*"))) if judge.base.device.type == "cuda" else ()
    return Seal(readable, tuple(scored_files(judge.benchmark.source)), devices)


def _in_memory(judge: Judge) -> TrainingImages:
    """The training images as they cross to a process that may open no data folder."""
    training = training_pool(judge)
    source = training.samples.source
    encoded = EncodedImages.of(source.title, [source.read(position) for position in range(len(source))])
    return dataclasses.replace(training, load=partial(copy.copy, LabelledImages(training.samples.table, encoded)))


def _batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _choose(submission: Submission, record: Record, border: Border) -> ChosenEditor:
    """The editor of a record, its file the submitted one, and its settings' files those with the right hashes."""
    editor = record.editor
    settings = editor.spec.removeprefix(editor.name).removeprefix(":")
    name = editor.name
    if editor.package is not None:
        _check_installed(name, editor.package)
    if submission.editor_file is not None:
        name = f"{submission.editor_file.resolve()}:{editor.name.rpartition(':')[2]}"
    chosen_editor = border.choose(f"{name}:{settings}" if settings else name, record.base.name)
    files = {name: _file_of(submission, name, digest) for name, digest in (editor.files or {}).items()}
    own = {field.name: getattr(chosen_editor.config, field.name) for field in dataclasses.fields(chosen_editor.config)}
    texts = {key: str(value) if isinstance(value, Path) else value for key, value in own.items()}
    plain = json.loads(json.dumps(texts))  # as a record holds it
    for key, value in editor.config.items():
        if plain.get(key) != value or key not in plain:
            raise UserError(
                f"{submission.folder}: the setting {printable(key)} is {printable(value)[:60]} in the record, and "
                f"{printable(plain.get(key))[:60]} by its source"
            )
    moved = {key: files[str(value)] for key, value in own.items() if str(value) in files}
    config = dataclasses.replace(chosen_editor.config, **moved)
    return dataclasses.replace(chosen_editor, config=config, interpolate=editor.interpolate)


def _check_installed(name: str, package: PackageSection) -> None:
    """Raise `UserError` unless the package that offers this editor is installed here with the same files."""
    offer = installed_editor(name)
    if offer is None or offer.hashes() != package.files:
        shown = f"{printable(package.name)[:100]}=={printable(package.version)[:40]}"
        raise UserError(
            f"{name} is of an installed package, and {shown} is not installed here with the files that it had there; "
            "install it and read it, or verify without --rerun"
        )


def _file_of(submission: Submission, name: str, digest: str) -> Path:
    """The file of that hash in the submission; the name in the record is opened by nobody."""
    for entry in walk(submission.folder / FILES):
        if sha256(Path(entry.path)) == digest:
            return Path(entry.path).resolve()
    where = f" (they can be had at {submission.card.weights})" if submission.card.weights != "none" else ""
    raise UserError(
        f"{submission.folder}: its settings name {printable(name)[:100]}, and no file in {FILES} has its hash "
        f"{digest[:12]}...{printable(where)}, so no edit can be made again; put it there, or verify without --rerun"
    )


def _compare(run: SubmittedRun, rows: np.ndarray, made: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """The predictions that were compared, and those that differ, outcome by outcome.

    Raises `UserError` where a larger share of them differs than changes without any edit (the record's noise floor).
    """
    noise, edits = run.record.noise_floor, run.outcomes.edits
    compared = differing = 0
    beyond = []
    for row, own in zip(rows, made, strict=True):
        for column in (name for name in PREDICTIONS.values() if name in edits.columns):
            claimed, again = np.asarray(edits[column].iloc[row]), np.asarray(own[column])
            differs = int((claimed != again).sum())
            compared, differing = compared + len(again), differing + differs
            if differs * noise.images > noise.flips * len(again):
                beyond.append((row, column, differs, len(again)))
    if beyond:
        row, column, differs, count = beyond[0]
        raise UserError(
            f"{run.folder}: {len({row for row, *_ in beyond}):,} of {len(rows):,} edits that were made again are not "
            f"those of its outcomes: of sample {edits['sample'].iloc[row]}, {differs:,} of {count:,} "
            f"{column.replace('_', ' ')} differ, and of all {differing:,} of {compared:,} (noise floor: {noise.flips} "
            f"of {noise.images})"
        )
    return compared, differing
