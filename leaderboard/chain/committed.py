"""Finished runs that come with the project, as far as they are what a chain would make now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.data.dataset import load
from editors.core.base import knob_of
from editors.core.registry import choose
from leaderboard.analyses import paper_makers
from leaderboard.analyses.ablation import find_study
from leaderboard.analyses.paper import PaperFigure, read_list
from leaderboard.chain.plan import HYPERNETWORK, Step
from leaderboard.chain.table import read_table
from leaderboard.chain.wishes import Wishes
from leaderboard.records.record import PROTOCOL, SCORING, Record
from leaderboard.records.runs import find_newest
from leaderboard.submissions.submission import RESULTS


@dataclass(frozen=True)
class Committed:
    """The finished runs that a chain takes, by the row of the table that would make them."""

    wishes: Wishes

    @cached_property
    def _records(self) -> dict[str, list[Record]]:
        """Records of the protocol, scores, data and device of this chain, by row."""
        records: dict[str, list[Record]] = defaultdict(list)
        wishes = self.wishes
        if wishes.from_scratch or wishes.scale != "full" or not wishes.problem.committed or wishes.data is None:
            return records
        fingerprint = load(wishes.data).fingerprint
        for row, name in wishes.problem.committed.items():
            if not (folder := RESULTS / name).is_dir():
                continue
            for _, record in find_newest([folder]):
                if (record.protocol.version, record.protocol.scoring) != (PROTOCOL, SCORING):
                    continue
                if (record.data.fingerprint, record.protocol.device) == (fingerprint, wishes.device):
                    records[row].append(record)
        return records

    def has(self, step: Step) -> bool:
        """True if all runs of a step are there."""
        records = self._records[step.row.name]
        if editor := step.of.get("editor"):
            return _specs(editor, step.of["base"]) <= {record.editor.spec for record in records}
        if study := step.of.get("study"):
            figure = next(figure for figure in read_list() if figure.name == read_table().studies[study].figure)
            return set(map(str, study_values(step))) <= {str(_value(record, figure)) for record in records}
        return False

    @property
    def folders(self) -> list[Path]:
        """The folders of the runs that are taken."""
        return [RESULTS / self.wishes.problem.committed[row] for row, records in self._records.items() if records]


def _specs(editor: str, base: str) -> set[str]:
    """The editor at each value of its knob, as records call it."""
    chosen = choose(editor, base)
    knob = knob_of(chosen.config)
    return {chosen.spec} if knob is None else {chosen.at_knob(value).spec for value in knob.sweep}


def study_values(step: Step) -> tuple[Any, ...]:
    """The values that the study of a step of the ablations takes."""
    return find_study(choose(HYPERNETWORK, step.of["base"]), step.of["study"]).values


def _value(record: Record, figure: PaperFigure) -> object:
    return paper_makers.recipe(record).get(figure.field)
