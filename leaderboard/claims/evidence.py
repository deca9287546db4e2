"""Runs that decide a claim: comparable ones of a figure, resampled together, and the arms that a rule compares."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from editors.core.base import knob_of
from editors.core.registry import choose as choose_editor
from leaderboard.analyses import ablation, paper_makers
from leaderboard.analyses.paper import NotThere, PaperFigure, Run, Sources, choose, group_table
from leaderboard.claims.table import Setting, in_words
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.record import Record
from leaderboard.scores import metrics, paired
from leaderboard.scores.metrics import Hits, Weights
from leaderboard.scores.ranking import dominated_area
from leaderboard.scores.shares import mean_of_defined, ratio, weighted_mean


@dataclass(frozen=True)
class Measured:
    """A value, and its replicates under the bootstrap weights that all runs of a claim share, (replicates,)."""

    value: float
    replicates: np.ndarray


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: runs that stand for one editor or setting.

    repetitions: for each trained network, the positions of its runs; a score is the mean over networks.
    """

    label: str
    repetitions: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Evidence:
    """The runs of a figure over the edits of some groups. `attributes` and `scores` are by run and name."""

    figure: PaperFigure
    records: list[Record]
    outcomes: list[Outcomes]
    attributes: list[dict[str, Any]]
    scores: list[dict[str, Measured]]
    once: tuple[str, ...]

    @property
    def conditions(self) -> str:
        """The base, the data and the number of edits, in words."""
        record = self.records[0]
        return f"{record.base.name}, {record.data.name} ({record.data.version}), {len(self.outcomes[0].edits)} edits"

    @property
    def departures(self) -> tuple[str, ...]:
        """Names of departures that these records show."""
        record = self.records[0]
        flags = {"stand-in": record.base.name != self.figure.base, "partial": record.protocol.limit is not None}
        return tuple(name for name, applies in flags.items() if applies)

    def arm(self, setting: Setting) -> Arm:
        """The runs with these settings. Raises `NotThere` if there is none, or if its sweep has a gap."""
        inside = [n for n, own in enumerate(self.attributes) if setting.items() <= own.items()]
        if self.figure.drawn_as == "editors":
            self._check_sweep(setting, inside)
            if setting["editor"] in self.once:
                default = self._defaults(str(setting["editor"]))
                inside = [n for n in inside if default.items() <= self.attributes[n].items()]
        if not inside:
            raise NotThere(f"there is no run of {in_words((setting,))}")
        networks: dict[Hashable, list[int]] = {}
        for n in inside:
            networks.setdefault(self.attributes[n].get("checkpoint"), []).append(n)
        most = max(map(len, networks.values()))
        return Arm(in_words((setting,)), tuple(tuple(runs) for runs in networks.values() if len(runs) == most))

    def series(self, editor: str) -> list[Setting]:
        """The editor at each value of the sweep of its knob, or at its default if the paper has one setting of it."""
        knob = knob_of(choose_editor(editor, self.records[0].base.name).config)
        if knob is None or editor in self.once:
            return [{"editor": editor, **self._defaults(editor)}]
        return [{"editor": editor, knob.name: float(value)} for value in knob.sweep]

    def _defaults(self, editor: str) -> Setting:
        config = choose_editor(editor, self.records[0].base.name).config
        knob = knob_of(config)
        return {} if knob is None else {knob.name: float(getattr(config, knob.name))}

    def _check_sweep(self, setting: Setting, inside: Sequence[int]) -> None:
        """Raise `NotThere` for a value of the sweep that has no run."""
        for point in self.series(str(setting["editor"])):
            # A setting that names its knob's value is one point of the sweep.
            own_point = {**point, **setting}
            if not any(own_point.items() <= self.attributes[n].items() for n in inside):
                raise NotThere(f"there is no run of {in_words((own_point,))}")

    def others(self, settings: Sequence[Setting]) -> tuple[Setting, ...]:
        """The figure's other editors, or the other values of its field."""
        if self.figure.drawn_as == "editors":
            named = {setting["editor"] for setting in settings}
            return tuple({"editor": name} for name in self.figure.editors if name not in named)
        named = {setting[self.figure.field] for setting in settings}
        values = {own[self.figure.field] for own in self.attributes} - named
        if not values:
            raise NotThere(f"there is no run of another {self.figure.field}")
        return tuple({self.figure.field: value} for value in sorted(values))

    def measure(self, arm: Arm, score: str, locality: str) -> Measured:
        """A score of an arm: of its GR-LR settings together for ``area``, else the mean over them."""
        networks = [self._of_network(runs, score, locality) for runs in arm.repetitions]
        return mean(networks)

    def _of_network(self, runs: Sequence[int], score: str, locality: str) -> Measured:
        if score == "spread":
            hits = [metrics.compute_hits(self.outcomes[n]) for n in runs]
            return mean([spread(each, metrics.resample(each)) for each in hits])  # the weights of all other scores
        if score != "area":
            return mean([self.scores[n][locality if score == "lr" else score] for n in runs])
        gr, lr = ([self.scores[n][name] for n in runs] for name in ("gr", locality))
        ends = [
            dominated_area(np.ones_like(x), x, y)
            for x, y in (
                (np.array([m.value for m in gr]), np.array([m.value for m in lr])),
                (np.stack([m.replicates for m in gr], -1), np.stack([m.replicates for m in lr], -1)),
            )
        ]
        return Measured(float(ends[0]), ends[1])


def mean(measured: Sequence[Measured]) -> Measured:
    """The mean of values and of their replicates."""
    return Measured(
        float(np.mean([each.value for each in measured])), np.mean([each.replicates for each in measured], axis=0)
    )


def gather(figure: PaperFigure, sources: Sources, groups: str, once: tuple[str, ...]) -> Evidence:
    """The comparable runs of a figure over the edits of `groups`, resampled together. Raises `NotThere`."""
    runs, attributes = _runs_of(figure, sources)
    outcomes = [sources.outcomes(run) for run in runs]
    if figure.drawn_as == "samples":
        most = max(range(len(runs)), key=lambda n: runs[n][1].protocol.samples_per_edit)
        partners = ablation.partners_of(outcomes[most])
        outcomes = [ablation.with_partners_of(each, partners) for each in outcomes]
    outcomes = [_only(each, groups) for each in outcomes]
    scores = []
    for resampled in paired.resample_together(outcomes):
        scores.append({name: Measured(resampled.values[name], each) for name, each in resampled.replicates.items()})
    return Evidence(figure, [record for _, record in runs], outcomes, attributes, scores, once)


def _runs_of(figure: PaperFigure, sources: Sources) -> tuple[list[Run], list[dict[str, Any]]]:
    """The runs of a figure that may be resampled together, and the settings of each."""
    if figure.drawn_as == "recipes":
        runs = choose(
            figure, sources, lambda r: _field(r, figure), 2, (),
            lambda r: json.dumps({**paper_makers.recipe(r), figure.field: None}, sort_keys=True),
        )  # fmt: skip
    elif figure.drawn_as == "samples":
        runs = paper_makers.usual(
            choose(figure, sources, lambda r: r.protocol.samples_per_edit, 2, ("samples_per_edit",))
        )
    elif figure.drawn_as == "places":
        runs = choose(
            figure, sources, lambda r: (r.editor.config.get("part"), r.editor.config.get("first")), without=()
        )
    else:
        usual = paper_makers.usual(choose(figure, sources, lambda r: r.editor.name, without=()))
        runs = [run for run in usual if has_usual_settings(run[1])]
    if not runs:
        raise NotThere("there are no such runs")
    attributes = [_attributes(record, figure) for _, record in runs]
    if figure.drawn_as in ("recipes", "samples"):
        return _at_common_knobs(runs, attributes, figure.field or "samples_per_edit")
    return runs, attributes


def _attributes(record: Record, figure: PaperFigure) -> dict[str, Any]:
    """The settings of a run by name, numbers as floats: config, editor, samples an edit, and the figure's field."""
    values = {**record.editor.config, "editor": record.editor.name}
    values["samples_per_edit"] = record.protocol.samples_per_edit
    if figure.field:
        values[figure.field] = _field(record, figure)
    return {
        name: float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        for name, value in values.items()
        if isinstance(value, Hashable)
    }


def _field(record: Record, figure: PaperFigure) -> Hashable:
    value = paper_makers.recipe(record).get(figure.field)
    return value if isinstance(value, (str, int, float)) else None


def has_usual_settings(record: Record) -> bool:
    """True for a run whose settings, but for knob and network, are those that the project has for its base."""
    config = dataclasses.asdict(choose_editor(record.editor.name, record.base.name).config)
    free = {record.editor.knob, "checkpoint"}
    return all(
        record.editor.config[name] == value
        for name, value in config.items()
        if name in record.editor.config and name not in free
    )


def _at_common_knobs(
    runs: list[Run], attributes: list[dict[str, Any]], field: str
) -> tuple[list[Run], list[dict[str, Any]]]:
    """Runs at the knob values that there are for every value of `field`, so that curves of one length are compared."""
    by_value: dict[Any, set[Any]] = {}
    for (_, record), own in zip(runs, attributes, strict=True):
        by_value.setdefault(own[field], set()).add(own.get(record.editor.knob or ""))
    common = set.intersection(*by_value.values())
    kept = [n for n, (_, record) in enumerate(runs) if attributes[n].get(record.editor.knob or "") in common]
    if not kept:
        raise NotThere(f"no knob value was run for every {field}")
    return [runs[n] for n in kept], [attributes[n] for n in kept]


def _only(run: Outcomes, groups: str) -> Outcomes:
    """The edits of natural, generated or all groups. Raises `NotThere` if there is none."""
    if groups == "all groups":
        return run
    table = group_table(run)
    ids = table.index[table["natural"] == (groups == "natural groups")]
    edits = run.edits[run.edits["group_id"].isin(ids)].reset_index(drop=True)
    if edits.empty:
        raise NotThere(f"no edit was made of {groups}")
    return dataclasses.replace(run, edits=edits)


def spread(hits: Hits, weights: Weights) -> Measured:
    """Standard deviation of GR over the edits of a group, as a mean over groups, with replicates."""
    values, replicates = [], []
    for group, images in zip(hits.groups, weights.images, strict=True):
        rates = group.generalisation
        own = np.where(np.isnan(rates), 0, images[:, group.own[:, 0]])
        values.append(_deviation(rates, np.where(np.isnan(rates), 0, np.ones((1, len(rates)))))[0])
        replicates.append(_deviation(rates, own))
    return Measured(mean_of_defined(np.array(values)), weighted_mean(np.stack(replicates, 1), weights.groups))


def _deviation(rates: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted standard deviation of rates (edits,) under each row of weights (rows, edits); NaN without a weight."""
    rates, total = np.nan_to_num(rates), weights.sum(1)
    middle = ratio(weights @ rates, total)
    square = ratio(weights @ rates**2, total)
    deviation: np.ndarray = np.sqrt(np.maximum(square - middle**2, 0))
    return deviation
