"""An editor on trial: the family of checks, one small function a line, in the manner of auto-attack's.

Each line passes, fails with its reason, or says why it cannot be told. Edits are compared by the logits that edited
models give for the edited images and their mirror images, so that all kinds of edits are treated alike.

Source: Croce and Hein 2020, whose code looks first for what it could not judge (auto-attack, ``checks.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from benchmark.core.errors import listed
from benchmark.models.identity import hash_tensors
from editors.core.edit import FailedEdit, WeightEdit
from leaderboard.judging.border import EditorBehindBorder
from leaderboard.judging.checks import BaseChanged
from leaderboard.judging.editing import EditorAtWork
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import EditingBatch, Settings, chosen_samples, load_batch, with_partners
from leaderboard.records.sections import CheckSection

SHORT = 2  # samples of a trial before a run
WHOLE = 4  # and of a whole one
TOLERANCE = 1e-3  # of what an edit changes, where the same was asked (DESIGN, "How it is judged fast, and exactly")
OTHER_BATCH = 1e-2  # where the batch is another, which rounds otherwise; a penalty's sign (ft-l1) makes steps of that
LEAST_CHANGE = 1e-2  # of the base's logits: what changes less is compared as if it changed so much
OTHER_SEED = 1  # added to a sample's seed
NOT_FINITE = ("not finite", "OverflowError", "FloatingPointError", "ZeroDivisionError")  # in reasons of failed edits
UNTOLD_BASE = "the base was changed before"

Working = EditorAtWork | EditorBehindBorder
Verdict = tuple[bool | None, str]


class Answer(NamedTuple):
    """An edited model's logits (p, classes) of the probes, None of a failed edit, and the reason why that failed."""

    sample: str
    logits: Tensor | None
    failure: str


class Trial:
    """The edits that an editor, fitted before, makes of a few samples, each way of asking tried once.

    first: all in one batch, as a run asks for them.
    again: the same batch once more; before a run only where `single` was otherwise, and else None.
    reverse: the same batch from its end; None before a run.
    single: each in a batch of its own; before a run the last alone.
    by_edit: those of `single` by `edit`, where that and `edit_many` are both the editor's own; else None.
    elsewhere: the same batch by `other`, the same editor in another process; None before a run.
    reseeded: the same batch with other seeds; None before a run.
    relearned: whether what the editor learned was not the same after its edits; None before a run.
    """

    def __init__(self, editor: Working, judge: Judge, batch: EditingBatch, other: Working | None = None) -> None:
        self.editors = [editor, *([other] if other else [])]
        self.answers: list[Answer] = []
        self._judge, self._batch = judge, batch
        own = batch.images.flatten(0, 1)
        self._probes = torch.cat([own, own.flip(-1)])
        self._base = cast(Tensor, judge.logits(WeightEdit({}), self._probes))
        rows = list(range(len(batch.seeds)))
        learned = hash_tensors(editor.state_dict()) if other else None
        self.first = self._edit(editor, rows)
        self.again = self._edit(editor, rows) if other else None
        self.reverse = self._edit(editor, rows[::-1])[::-1] if other else None
        self.single = [self._edit(editor, [row])[0] for row in (rows if other else rows[-1:])]
        if other is None and self.gap_of_single:
            self.again = self._edit(editor, rows)
        alone = rows[-len(self.single) :] if editor.edits_twice else []
        self.by_edit = [self._edit(editor, [row], alone=True)[0] for row in alone] or None
        self.elsewhere = self._edit(other, rows) if other else None
        self.reseeded = self._edit(editor, rows, OTHER_SEED) if other else None
        self.relearned = hash_tensors(editor.state_dict()) != learned if other else None
        for each in self.editors if other else []:
            each.check_base()

    def gap(self, answers: Sequence[Answer], others: Sequence[Answer] | None, tolerance: float = TOLERANCE) -> str:
        """The first difference between answers to the same samples, in words; empty where there is none."""
        for answer, other in zip(answers, others or answers, strict=True):
            if (answer.logits is None) != (other.logits is None):
                return f"sample {answer.sample} fails once ({answer.failure or other.failure}), and once does not"
            if answer.logits is None or other.logits is None:
                continue
            ours, theirs = (logits.nan_to_num(0, 0, 0) for logits in (answer.logits, other.logits))
            change = max((logits - self._base).norm().item() for logits in (ours, theirs))
            share = (ours - theirs).norm().item() / max(change, LEAST_CHANGE * self._base.norm().item())
            if share > tolerance:
                return f"the edit of sample {answer.sample} differs by {share:.1%} of what it changes"
        return ""

    @property
    def gap_of_single(self) -> str:
        """The first difference between samples in a batch and alone, which are the same to who edits one by one."""
        tolerance = TOLERANCE if self.editors[0].one_by_one else OTHER_BATCH
        return self.gap(self.first[-len(self.single) :], self.single, tolerance)

    def _edit(self, editor: Working, rows: Sequence[int], seed: int = 0, alone: bool = False) -> list[Answer]:
        images, labels, seeds, hashes = self._batch.take(rows)
        edits = editor.edit(images, labels, [each + seed for each in seeds], hashes[0][:12], alone)
        answers = [
            Answer(
                name[:12], self._judge.logits(edit, self._probes), edit.reason if isinstance(edit, FailedEdit) else ""
            )
            for name, edit in zip(hashes, edits, strict=True)
        ]
        self.answers += answers
        return answers


def base_unchanged(trial: Trial) -> Verdict:
    """The base is the same afterwards: weights, buffers, modules, hooks, attributes, and the code that is called."""
    return True, "compared around every call" + (", hashed at the end" if trial.elsewhere else "")


def settings_left_alone(trial: Trial) -> Verdict:
    """The base's training mode and torch's settings are as they were; a run puts them back."""
    put_back = dict.fromkeys(name for editor in trial.editors for name in editor.put_back)
    return (False, f"it left {listed([*put_back], 'and')} otherwise; put back") if put_back else (True, "")


def same_seed_same_edit(trial: Trial) -> Verdict:
    """With `random`, numpy and torch at the same seed, the same sample gets the same edit."""
    if trial.elsewhere is None:
        gap = trial.gap(trial.first, trial.again)
        return (False, f"{gap} the second time") if gap else (True, _counted(trial))
    if gap := trial.gap(trial.first, trial.elsewhere):
        return False, f"{gap} in another process"
    is_random = trial.gap(trial.first, trial.reseeded) != ""
    return True, f"{_counted(trial)} in two processes; {'random, by its seed' if is_random else 'not random'}"


def nothing_kept(trial: Trial) -> Verdict:
    """Nothing is kept from edit to edit: a sample that is edited again, after others, gets the same edit."""
    if gap := trial.gap(trial.first, trial.again):
        if trial.elsewhere is None:
            return None, "the same seed gave another edit; python -m leaderboard.check tells the reason"
        unseeded = trial.gap(trial.first, trial.elsewhere)
        return (None, "the same seed gives another edit anyway") if unseeded else (False, f"{gap} the second time")
    return (False, "what it learned (state_dict) changed") if trial.relearned else (True, _counted(trial))


def order_and_batch(trial: Trial) -> Verdict:
    """Samples in another order or another batch get the same edits."""
    if len(trial.first) == 1:
        return None, "there is one sample alone"
    if trial.gap(trial.first, trial.again):
        return None, "the same batch gives other edits the second time"
    if gap := trial.gap(trial.first, trial.reverse, OTHER_BATCH):
        return False, f"{gap} in another order"
    gap = trial.gap_of_single
    return (False, f"{gap} in a batch of its own") if gap else (True, _counted(trial))


def edit_many_equals_edit(trial: Trial) -> Verdict:
    """`edit_many` gives what `edit` gives for one sample after the other."""
    if trial.by_edit is None:
        return True, "one of them is made of the other"
    if trial.gap(trial.first, trial.again):
        return None, "the same batch gives other edits the second time"
    gap = trial.gap(trial.single, trial.by_edit)
    return (False, f"{gap} by edit") if gap else (True, _counted(trial))


def results_finite(trial: Trial) -> Verdict:
    """Weights and logits of edited models are finite; an edit that fails for another reason is no error."""
    for answer in trial.answers:
        if any(sign in answer.failure for sign in NOT_FINITE):
            return False, f"sample {answer.sample}: {answer.failure}"
        if answer.logits is not None and not answer.logits.isfinite().all():
            return False, f"sample {answer.sample}: logits of the edited model are not finite"
    failures = dict.fromkeys(answer.failure for answer in trial.answers if answer.logits is None)
    if all(answer.logits is None for answer in trial.answers):
        return None, f"every edit failed ({next(iter(failures))})"
    return True, f"some edits failed ({next(iter(failures))})" if failures else ""


def fit_saw_no_scored_image(trial: Trial) -> Verdict:
    """No image that is scored is among those to learn from, and the editor's process opened no file that holds one."""
    editor = trial.editors[0]
    if opened := dict.fromkeys(name for each in trial.editors for name in each.opened):
        return False, f"it opened {listed([*opened], 'and')}, which hold what is scored"
    if not editor.learns:
        return True, "it has no fit"
    if not editor.hidden:
        return None, "this system, or --in-process, does not hide the files of what is scored"
    return True, "their files were hidden, and their hashes are not among those to learn from"


FAMILY: tuple[tuple[str, Callable[[Trial], Verdict]], ...] = (
    ("base unchanged", base_unchanged),
    ("settings left alone", settings_left_alone),
    ("same seed, same edit", same_seed_same_edit),
    ("nothing kept from edit to edit", nothing_kept),
    ("another order, another batch", order_and_batch),
    ("edit_many equals edit", edit_many_equals_edit),
    ("results finite", results_finite),
    ("fit saw no scored image", fit_saw_no_scored_image),
)


def trial_batch(judge: Judge, settings: Settings, count: int) -> EditingBatch:
    """The first `count` of the samples that a run of these settings edits; where it edits fewer, of all."""
    benchmark = judge.benchmark
    rows = chosen_samples(benchmark, settings)
    if len(rows) < count:
        rows = np.concatenate([rows, np.setdiff1d(np.arange(len(benchmark.edit)), rows)])
    return load_batch(judge.base, benchmark.edit, with_partners(benchmark, rows[:count], settings), settings.seed)


def try_shortly(editor: Working, judge: Judge, batch: EditingBatch) -> tuple[CheckSection, ...]:
    """The checks before a run: three edits of two samples by the run's own editor. Raises `BaseChanged`."""
    return _verdicts(Trial(editor, judge, batch))


def try_wholly(start: Callable[[], Working], judge: Judge, batch: EditingBatch) -> tuple[CheckSection, ...]:
    """All checks of an editor that `start` makes and fits, twice, in two processes."""
    with ExitStack() as stack:
        try:
            editors = [stack.enter_context(closing(start())) for _ in range(2)]
            return _verdicts(Trial(editors[0], judge, batch, editors[1]))
        except BaseChanged as error:
            name, *others = (name for name, _ in FAMILY)
            reason = str(error).partition("changed the base model: ")[2].partition("; an editor must")[0]
            untold = [CheckSection(name=other, passed=None, reason=UNTOLD_BASE) for other in others]
            return CheckSection(name=name, passed=False, reason=reason), *untold


def _verdicts(trial: Trial) -> tuple[CheckSection, ...]:
    verdicts = [(name, *check(trial)) for name, check in FAMILY]
    return tuple(CheckSection(name=name, passed=passed, reason=reason) for name, passed, reason in verdicts)


def _counted(trial: Trial) -> str:
    count = len(trial.first)
    return f"{count} {'sample' if count == 1 else 'samples'}"
