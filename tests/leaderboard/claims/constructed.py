"""Small runs whose GR, LR and SR are known, for the rules of the claims: no model is needed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import leaderboard
from editors.core.base import knob_of
from editors.core.registry import choose
from leaderboard.analyses.paper import PaperFigure, Run, Sources
from leaderboard.claims.table import read_table
from leaderboard.records import record
from leaderboard.records.outcomes import Outcomes

RESULTS = Path(leaderboard.__file__).parent / "results" / "mini-1"
NATURAL, SIZE, GENERATED, LOCALITY = 8, 12, 24, 200
LABEL, WRONG = 1, 2


@dataclass(frozen=True)
class Quality:
    """The shares that a run gets right. `gr` is of the group's images, `lr` of D_l, `sr` of the edits' own samples.

    `odd` and `even` move GR up in odd or even groups (and images of a lone group), and LR in such images of D_l;
    `uneven` gives every second edit all of the GR, and the others none.
    """

    gr: float = 0.5
    lr: float = 0.5
    sr: float = 1.0
    odd: float = 0.0
    even: float = 0.0
    uneven: bool = False


def samples() -> pd.DataFrame:
    """Eight natural groups, a generated one, and D_l."""
    sizes = [(f"g{n}", "pairs", SIZE) for n in range(NATURAL)] + [("g8", "three_d", GENERATED)]
    rows = [(group, subset) for group, subset, size in sizes for _ in range(size)]
    edit = pd.DataFrame(rows, columns=["group_id", "subset"]).assign(split="edit", base=WRONG)
    locality = pd.DataFrame({"split": ["locality"] * LOCALITY, "base": LABEL})
    table = pd.concat([edit, locality], ignore_index=True).assign(label=LABEL)
    table["group"] = table["group_id"]
    table["sha256"] = table["drawing"] = [f"image {n}" for n in range(len(table))]
    return table


def outcomes_of(quality: Quality, images: pd.DataFrame, partners: int = 0) -> Outcomes:
    """An edit of each editing sample, of this quality."""
    edit, edits = images[images["split"] == "edit"], []
    place = np.arange(LOCALITY) * 7 % LOCALITY / LOCALITY
    for number, (group, members) in enumerate(edit.groupby("group_id", sort=False).groups.items()):
        count = len(members)
        for own in range(count):
            boost = np.where((np.arange(count) if count == GENERATED else np.full(count, number)) % 2,
                             quality.odd, quality.even)  # fmt: skip
            # Groups differ, as they do in any benchmark: else nothing could be resampled.
            weight = 0.8 + 0.05 * number
            share = quality.gr * (own % 2) * 2 * weight if quality.uneven else 0.5 + (quality.gr - 0.5) * weight + boost
            right = (np.arange(count) * 7 % count) / count < share
            right[own] = members[own] * 7 % 25 / 25 < quality.sr
            of_d_l = np.where(np.arange(LOCALITY) % 2, quality.odd, quality.even) + quality.lr
            edits.append(
                {
                    "sample": int(members[own]),
                    "partners": [int(members[(own + step) % count]) for step in range(1, partners + 1)],
                    "group_id": group,
                    "group_predictions": np.where(right, LABEL, WRONG),
                    "locality_predictions": np.where(place < of_d_l, LABEL, WRONG),
                }
            )
    return Outcomes(images, pd.DataFrame(edits))


def settings_of(figure: PaperFigure) -> list[dict[str, Any]]:
    """The settings of the runs that a figure needs: by the editor, its knob, places, samples or recipe."""
    if figure.drawn_as == "places":
        return [{"editor": "ft-at", "part": part, "first": n} for part in ("ffn", "msa") for n in range(10)]
    values: list[dict[str, Any]] = [{}]
    if figure.drawn_as == "samples":
        values = [{"samples_per_edit": n} for n in (1, 2, 3)]
    if figure.field:
        tried: dict[str, list[Any]] = {
            "pseudo": ["cutmix", "pgd"],
            "sparsity_weight": [0.1, 1.0, 10.0],
            "inner_steps": [1, 5, 10],
        }
        tried |= {"inner_lr": [0.0001, 0.001, 0.01], "blocks": [1, 3, 5]}
        values = [{figure.field: value} for value in tried[figure.field]]
    runs = []
    for name in figure.editors:
        config: Any = choose(name, figure.base).config
        knob = knob_of(config)
        points: list[dict[str, Any]] = [{}]
        if knob is not None:
            swept: Sequence[float] = [getattr(config, knob.name)] if name in read_table().once else knob.sweep
            points = [{knob.name: value} for value in swept]
        runs += [{"editor": name, **point, **value} for point, value in itertools.product(points, values)]
    return runs


def sources(figure: PaperFigure, quality: Callable[[Mapping[str, Any]], Quality | None]) -> Sources:
    """The runs of a figure, each of the quality of its settings; None leaves a run out."""
    template, images = record.read(RESULTS / "ft" / "record.json"), samples()
    runs: list[Run] = []
    read: dict[Path, Outcomes] = {}
    for number, setting in enumerate(settings_of(figure)):
        own = quality(setting)
        if own is None:
            continue
        config = vars(choose(setting["editor"], figure.base).config) | {
            name: value for name, value in setting.items() if name not in ("editor", "samples_per_edit", figure.field)
        }
        knob = knob_of(choose(setting["editor"], figure.base).config)
        provenance = {}
        if figure.field:
            provenance = {"recipe": json.dumps({"iterations": 7000, figure.field: setting[figure.field]})}
            config["checkpoint"] = f"{setting[figure.field]}.safetensors"
        count = setting.get("samples_per_edit", 1)
        editor = template.editor.model_copy(
            update={"name": setting["editor"], "spec": f"run {number}", "config": config, "provenance": provenance,
                    "knob": knob.name if knob else None}
        )  # fmt: skip
        sections = {
            "editor": editor,
            "key": f"{number:064x}",
            "base": template.base.model_copy(update={"name": figure.base}),
            "protocol": template.protocol.model_copy(update={"samples_per_edit": count, "limit": None}),
        }
        path = Path(f"run{number}") / "record.json"
        runs.append((path, template.model_copy(update=sections)))
        read[path] = outcomes_of(own, images, partners=count - 1)
    return Sources((), runs, read)
