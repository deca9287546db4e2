"""The table of steps, `steps.yaml`, checked when it is read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from benchmark.core.yamls import read_yaml
from leaderboard.claims.table import Entry

TABLE = Path(__file__).parent / "steps.yaml"
Each = Literal["base", "first", "editor", "trained", "study"]


class Row(Entry):
    """A step as the table has it, before it is made for a base, an editor or a study."""

    name: str
    """Its name, which ``--until`` takes."""
    does: str
    """What it is for, in a sentence."""
    each: tuple[Each, ...] = ()
    """What it is made for, each apart; ``first`` is the first base."""
    needs: tuple[str, ...] = ()
    """Names of rows that go first."""
    commands: tuple[str, ...]
    """Commands, with words in braces for what differs."""
    leaves: str
    """What is there afterwards, in the same words."""
    figures: tuple[str, ...] = ()
    """Entries of `analyses/paper.json` that are made of it."""
    gigabytes: float = 0.0
    """Of disk, at most."""
    only: tuple[str, ...] = ()
    """Conditions that all hold, each "A" or "A or B"."""

    def applies(self, conditions: frozenset[str]) -> bool:
        """True if all that must be so is so."""
        return all(conditions & {*condition.split(" or ")} for condition in self.only)


class Work(Entry):
    """The work of a training, of which its hours are made."""

    targets: int = 0
    """Masks that the hypernetwork learns from."""
    batches: int = 0
    """Batches of its fit."""
    steps: int = 0
    """Steps that take as long as one of an edit by plain fine-tuning."""


class Study(Entry):
    """A study of the ablations."""

    figure: str
    """The figure that shows it."""
    banks: int
    """Banks that it needs beside the one that all studies share."""


class Problem(Entry):
    """A benchmark with its bases, and the settings of the steps on it."""

    bases: tuple[str, ...]
    """Aliases of the base models, the first of them the one that the locality set was chosen with."""
    images: str | None = None
    """Training images that need not be fetched."""
    places: str
    """Options of `leaderboard.analyse layers`."""
    drawn: str
    """Options of the analyses that edit a part of the samples."""
    bank: str
    """Options of the ablations' trainings."""
    training: dict[str, str] = Field(default_factory=dict)
    """Options of `editors.train`, by editor."""
    work: dict[str, Work]
    """The work of its training, by editor."""
    samples: int
    """Editing samples of the first base."""
    judged_on: int
    """Images that each edit is judged on, of its group and those that must not change."""
    steps: int
    """Steps of an edit by plain fine-tuning; of the paper's bases a guess."""
    committed: dict[str, str] = Field(default_factory=dict)
    """Folders of `leaderboard/results` that hold finished runs of a row's steps."""


class Table(Entry):
    """All of `steps.yaml`."""

    steps: tuple[Row, ...]
    studies: dict[str, Study]
    sources: dict[str, tuple[str, ...]]
    problems: dict[str, Problem]


@cache
def read_table() -> Table:
    """The steps and problems. Raises `ValidationError` for a file that is none."""
    return Table.model_validate(read_yaml(TABLE))
