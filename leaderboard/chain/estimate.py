"""Hours of the steps of a chain, from the speed of this device and the costs in the committed records.

Of each editor and setting, the records on the mini say how many times plain fine-tuning's time its edits and their
judging take; the speed of the base on this device says that time. What the records cannot say (the steps that an edit
on another base needs) is in the table of steps. Bytes over a line, and pictures by Stable Diffusion, are not estimated.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from editors.core.base import knob_of
from editors.core.masks import SPARSITIES
from editors.core.registry import choose
from leaderboard.analyses.ablation import SAMPLES
from leaderboard.chain.calibration import PLAIN, Speed
from leaderboard.chain.committed import study_values
from leaderboard.chain.plan import HYPERNETWORK, Plan, Step
from leaderboard.chain.table import read_table
from leaderboard.records.record import Record
from leaderboard.records.runs import find_newest
from leaderboard.submissions.submission import RESULTS

COSTS = RESULTS / "mini-1"  # the runs whose costs are compared
PLACES = 20  # of three blocks in a row: ten of FFNs, ten of MSAs (paper, Fig. 2b)
RUN = 4.0  # seconds that any run takes beside its edits: loading, its trial, prefixes


@dataclass(frozen=True)
class Costs:
    """The costs of a setting: times those of plain fine-tuning, of an edit and of its judging."""

    edit: float
    judging: float


@dataclass(frozen=True)
class Estimate:
    """The time that the steps of a plan take, with the speed of each base by its alias."""

    plan: Plan
    speeds: Mapping[str, Speed]

    def seconds(self, step: Step) -> float | None:
        """Seconds of a step from its beginning to its end; None where nothing is known of it."""
        if "base" not in step.of:
            return None
        speed, row = self.speeds[step.of["base"]], step.row.name
        problem = self.plan.wishes.problem
        if row == "train":
            work = problem.work[step.of["editor"]]
            return work.targets * speed.target + work.batches * speed.batch + work.steps * speed.step
        if row == "edit":
            return sum(self._run(costs, self._edits(step), speed) for costs in self._settings(step))
        drawn = self._edits(step)
        if row == "layers":
            return PLACES * self._run(Costs(1, 1), drawn, speed)
        masks = [self._cost(HYPERNETWORK, value) for value in SPARSITIES]
        if row == "samples":
            return sum(count * self._run(costs, drawn, speed) for count in SAMPLES for costs in masks)
        if row == "masks":
            return RUN + 2 * drawn * speed.judging
        values = len(study_values(step))
        is_first = step.name == next(each.name for each in self.plan.steps if "study" in each.of)
        banks = read_table().studies[step.of["study"]].banks + is_first
        targets, batches = (self._option(step, name) for name in ("--bank-size", "--iterations"))
        trainings = banks * targets * speed.target + values * batches * speed.batch
        return trainings + values * sum(self._run(costs, drawn, speed) for costs in masks)

    def _run(self, costs: Costs, edits: int, speed: Speed) -> float:
        problem = self.plan.wishes.problem
        edit = costs.edit * problem.steps * speed.step
        return RUN + edits * (edit + costs.judging * problem.judged_on * speed.judging)

    def _settings(self, step: Step) -> list[Costs]:
        editor = step.of.get("editor", PLAIN)
        knob = knob_of(choose(editor, step.of["base"]).config)
        values: Iterable[float | None] = knob.sweep if knob and "--sweep" in self._flat(step) else [None]
        return [self._cost(editor, value) for value in values]

    def _cost(self, editor: str, value: float | None) -> Costs:
        own = [record for record in self._records if record.editor.name == editor and record.editor.interpolate == 1]
        at_value = [record for record in own if _knob_value(record) == value]
        plain = [record for record in self._records if record.editor.spec == PLAIN]
        if not own or not plain:
            return Costs(1, 1)
        chosen = at_value or own
        edit = statistics.median(record.costs.median_edit_seconds or 0 for record in chosen)
        judging = statistics.median(record.costs.median_score_seconds or 0 for record in chosen)
        costs = plain[0].costs
        return Costs(edit / (costs.median_edit_seconds or 1), judging / (costs.median_score_seconds or 1))

    @cached_property
    def _records(self) -> list[Record]:
        return [record for _, record in find_newest([COSTS])] if COSTS.is_dir() else []

    def _edits(self, step: Step) -> int:
        return _value(self._flat(step), "--limit", self.plan.wishes.problem.samples)

    def _option(self, step: Step, name: str) -> int:
        return _value(self._flat(step), name, 0)

    def _flat(self, step: Step) -> list[str]:
        return [word for words in self.plan.words(step) for word in words]


def _value(words: Sequence[str], name: str, default: int) -> int:
    """The number behind an option."""
    return int(words[words.index(name) + 1]) if name in words else default


def _knob_value(record: Record) -> float | None:
    return record.editor.config.get(record.editor.knob) if record.editor.knob else None
