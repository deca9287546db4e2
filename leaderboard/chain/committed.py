"""Finished runs that come with the project, as far as they are what a chain would make now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import leaderboard
from benchmark.data.dataset import load
from editors.core.base import knob_of
from editors.core.registry import built_in, choose
from editors.training.pretrained import PretrainedEditor
from leaderboard.analyses import paper_makers
from leaderboard.analyses.paper import PaperFigure, read_list
from leaderboard.chain.plan import HYPERNETWORK, Step
from leaderboard.chain.table import read_table
from leaderboard.chain.wishes import Wishes
from leaderboard.records.record import PROTOCOL, SCORING, Record
from leaderboard.records.runs import find_newest

RESULTS = Path(leaderboard.__file__).parent / "results"


@dataclass(frozen=True)
class Committed:
    """The finished runs that a chain takes, by the row of the table that would make them."""

    wishes: Wishes

    @cached_property
    def _records(self) -> dict[str, list[Record]]:
        """Records of the protocol, scores, data and device of this chain, by row."""
        records: dict[str, list[Record]] = defaultdict(list)
        problem, wishes = self.wishes.problem, self.wishes
        if wishes.from_scratch or wishes.scale != "full" or not wishes.is_mini or not wishes.data:
            return records
        fingerprint = load(wishes.data).fingerprint
        for row, name in problem.committed.items():
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
            return _values(study) <= {str(_value(record, figure)) for record in records}
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


def _values(study: str) -> set[str]:
    editor_class = built_in()[HYPERNETWORK]
    assert issubclass(editor_class, PretrainedEditor)
    return {str(value) for value in editor_class.studies()[study].values}


def _value(record: Record, figure: PaperFigure) -> object:
    return paper_makers.recipe(record).get(figure.field)
