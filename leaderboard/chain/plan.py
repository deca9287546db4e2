"""The steps of a chain as they will run: their commands, what they need, and which of them are done."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError, listed, unknown
from benchmark.core.files import write_text
from benchmark.core.readers import Unreadable, read_json
from benchmark.fetching.collection import value_of
from benchmark.fetching.source import sources
from editors.core.base import knob_of
from editors.core.registry import built_in
from editors.training.pretrained import PretrainedEditor
from leaderboard.analyses.paper import BASES, PaperFigure, read_list
from leaderboard.chain.table import Each, Row, read_table
from leaderboard.chain.wishes import DATA, Wishes

FETCHED = "fetched"  # where sources lie, below --out
STEPS = "steps"  # where finished steps are noted, below --out
RUNS, ANALYSES, TRAINED = "runs", "analyses", "trained"  # where finished runs and networks lie, below --out
REPORT = "report"
HYPERNETWORK = "hypernetwork"  # the paper's own editor, whose masks and samples it looks at


@dataclass(frozen=True)
class Step:
    """A step as it runs: a row of the table, for one base, editor or study."""

    row: Row
    of: dict[Each, str]
    """What it is made for: base (its alias), editor, study."""
    needs: tuple[str, ...]
    """Names of the steps that go first."""
    digest: str
    """Hash of its commands and of the digests of what it needs, without the place of the folder."""

    @property
    def name(self) -> str:
        """The row's name, and what it is made for: ``edit vitb16 kn``."""
        return " ".join([self.row.name, *self.of.values()])


@dataclass(frozen=True)
class Done:
    """A finished step, as its note has it."""

    digest: str
    seconds: float


class Words(dict[str, Any]):
    """The values of the words in braces; a list is several words of a command line, or none."""

    def fill(self, command: str) -> list[str]:
        """The words of a command."""
        words: list[str] = []
        for template in shlex.split(command):
            value = self.get(template[1:-1]) if template[:1] + template[-1:] == "{}" else None
            words += value if isinstance(value, list) else [template.format_map(self)]
        return words


class Sourced:
    """``{source:NAME}`` in a command: the value that what was fetched has as an option."""

    def __init__(self, value: Callable[[str], str]) -> None:
        self._value = value

    def __format__(self, name: str) -> str:
        return self._value(name)


@dataclass(frozen=True)
class Plan:
    """The steps of a chain, in order, and what is noted of them in its folder."""

    wishes: Wishes
    steps: tuple[Step, ...]

    def words(self, step: Step) -> list[list[str]]:
        """The commands of a step, word by word; what is not fetched yet stands where it will lie."""

        values = self._values(step)
        return [values.fill(command) for command in step.row.commands]

    def _values(self, step: Step) -> Words:
        def place(name: str) -> str:
            try:
                return value_of(self.wishes.out / FETCHED, name)
            except UserError:
                return sources()[name].value.replace("{path}", str(self.wishes.out / FETCHED / name))

        return _words(self.wishes, step.of, place)

    def shown(self, step: Step) -> list[str]:
        """The commands of a step as a person types them."""
        return [f"python -m {shlex.join(words)}" for words in self.words(step)]

    def done(self, step: Step) -> Done | None:
        """The note of a finished step; None without one.

        None also if it ended with other commands or on other things, or if what it left is gone.
        """
        try:
            note = read_json(self._note(step))
            done = Done(str(note["digest"]), float(note["seconds"]))
        except (Unreadable, KeyError, TypeError, ValueError):
            return None
        return done if done.digest == step.digest and self.leaves(step).exists() else None

    def leaves(self, step: Step) -> Path:
        """The file or folder that is there once the step has ended."""
        return Path(*self._values(step).fill(step.row.leaves))

    def note(self, step: Step, seconds: float) -> None:
        """Note that a step has ended."""
        note = {"step": step.name, "digest": step.digest, "seconds": round(seconds, 1), "commands": self.shown(step)}
        write_text(self._note(step), json.dumps(note, indent=2) + "\n")

    def _note(self, step: Step) -> Path:
        return self.wishes.out / STEPS / f"{step.name.replace(' ', '-')}.json"


def make_plan(wishes: Wishes, until: str | None = None, only: Sequence[str] = ()) -> Plan:
    """The plan of a chain, up to the last step of the row `until`, or what the figures `only` need.

    Raises `UserError` for a row or figure that there is not, and where no step makes these figures.
    """
    figures = _figures(only)
    steps: dict[str, Step] = {}
    for row in read_table().steps:
        if row.applies(wishes.conditions):
            for of in _each(row, wishes):
                step = _make(row, of, wishes, steps)
                steps[step.name] = step
    kept = _needed(steps, [step for step in steps.values() if not only or _shows(step, figures)])
    if not kept:
        asked = listed(only, "or")
        raise UserError(f"no step of this chain makes {asked}; ask for others, or leave --scale or --base out")
    rows = list(dict.fromkeys(step.row.name for step in steps.values()))
    if until is not None:
        if until not in [*rows, REPORT]:
            raise unknown("step", until, [*rows, REPORT])
        last = [*rows, REPORT].index(until)
        kept = [step for step in kept if rows.index(step.row.name) <= last]
    return Plan(wishes, tuple(kept))


def _figures(only: Sequence[str]) -> tuple[PaperFigure, ...]:
    known = {figure.name: figure for figure in read_list()}
    for name in only:
        if name not in known:
            raise unknown("figure", name, known)
    return tuple(known[name] for name in dict.fromkeys(only)) or tuple(known.values())


@cache
def editors() -> list[str]:
    """The editors that the paper's GR-LR figures show, in the order of the figures."""
    return list(
        dict.fromkeys(name for figure in read_list() if figure.drawn_as == "editors" for name in figure.editors)
    )


@cache
def trained_editors() -> list[str]:
    """Those of them that take a trained network."""
    return [name for name in editors() if issubclass(built_in()[name], PretrainedEditor)]


def _each(row: Row, wishes: Wishes) -> list[dict[Each, str]]:
    """The base, editor and study of each step of a row."""
    bases = list(wishes.bases)
    values: dict[Each, list[str]] = {
        "base": bases,
        "first": bases[:1],
        "editor": editors(),
        "trained": trained_editors(),
        "study": list(read_table().studies),
    }
    names: dict[Each, Each] = {"first": "base", "trained": "editor"}
    each: list[dict[Each, str]] = [{}]
    for kind in row.each:
        each = [{**of, names.get(kind, kind): value} for of in each for value in values[kind]]
    return each


def _make(row: Row, of: dict[Each, str], wishes: Wishes, before: dict[str, Step]) -> Step:
    """The step of a row for `of`; `before` are the steps that were made of the rows above."""
    needs = [
        name
        for name, step in before.items()
        if step.row.name in row.needs and all(_is_own(row, of, kind, value) for kind, value in step.of.items())
    ]
    words = _words(wishes, of, lambda name: f"SOURCE/{name}", out="OUT")
    commands = [words.fill(command) for command in row.commands]
    content = [commands, [before[name].digest for name in needs]]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return Step(row, of, tuple(needs), digest)


def _is_own(row: Row, of: dict[Each, str], kind: Each, value: str) -> bool:
    """True if a step needs what another one makes for `value`: its own base and editor, or the hypernetwork's."""
    if kind == "editor" and kind not in of:
        return value == HYPERNETWORK
    return of.get(kind, value) == value


def _shows(step: Step, figures: Sequence[PaperFigure]) -> bool:
    """True if one of these figures is made of what the step leaves."""
    base, editor, study = (step.of.get(kind) for kind in ("base", "editor", "study"))
    return any(
        figure.name in step.row.figures
        and (study is None or read_table().studies[study].figure == figure.name)
        and (editor is None or not figure.editors or editor in figure.editors)
        and (base not in BASES or base == figure.base)
        for figure in figures
    )


def _needed(steps: dict[str, Step], chosen: Sequence[Step]) -> list[Step]:
    """These steps with all that go first, in order."""
    names = {step.name for step in chosen}
    for step in reversed(steps.values()):
        if step.name in names:
            names |= {*step.needs}
    return [step for name, step in steps.items() if name in names]


def _words(wishes: Wishes, of: dict[Each, str], source: Callable[[str], str], out: str | None = None) -> Words:
    """The values of the words in braces. With `out`, nothing that only says where or how fast it is computed."""
    place = str(wishes.out) if out is None else out
    problem, data, name = wishes.problem, wishes.data or f"{place}/{DATA}", of.get("base", next(iter(wishes.bases)))
    specs = {alias: spec or source(alias) for alias, spec in wishes.bases.items()}
    editor = of.get("editor", HYPERNETWORK)
    network = f"{place}/{TRAINED}/{name}/{editor}.safetensors"
    is_trained = wishes.needs_networks and editor in trained_editors()
    images = problem.images or (source("imagenet") if "imagenet" in wishes.sources else data)
    has_knob = knob_of(built_in()[editor].Config) is not None
    fetching = ["--from-folder", str(wishes.from_folder)] if wishes.from_folder else []
    if wishes.yes:
        fetching.append("--yes")
    is_whole = out is None
    return Words(
        out=place,
        source=Sourced(source),
        sources=list(wishes.sources),
        data=data,
        labeller=specs.get(wishes.labeller) or source(wishes.labeller),
        base=specs[name],
        editor_name=editor,
        editor=f"{editor}:checkpoint={network}" if is_trained else editor,
        hypernetwork=f"{HYPERNETWORK}:checkpoint={network}" if is_trained else HYPERNETWORK,
        network=network,
        images=images,
        learning=[] if problem.images else ["--images", images],
        limit=["--limit", str(wishes.limit)] if wishes.limit else [],
        sweep=["--sweep"] if has_knob else [],
        partial=["--allow-partial"] if wishes.allow_partial else [],
        study=of.get("study", ""),
        places=shlex.split(problem.places),
        drawn=shlex.split(problem.drawn),
        bank=shlex.split(problem.bank),
        training=shlex.split(problem.training.get(editor, "")),
        fetching=fetching if is_whole else [],
        device=wishes.device if is_whole else "",
        engine=wishes.engine if is_whole else "",
    )
