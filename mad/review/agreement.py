"""Agreement of two annotators on the same images, their conflicts, and the images that both accepted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.core.errors import UserError, unknown
from benchmark.core.text import name_key
from mad.review.groups import ReviewImage

if TYPE_CHECKING:
    import pandas as pd


def cohen_kappa(first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray) -> float:
    """Cohen's kappa of two annotators' answers to the same n questions, (p_o - p_e) / (1 - p_e).

    p_o is the share of equal answers; p_e is the share to be expected if each answered at random, with the
    frequencies that they have (Cohen, "A coefficient of agreement for nominal scales", 1960).

    Returns:
        Between -1 and 1; nan where it is not defined: no answers, or p_e = 1, as both only ever said the same.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"{a.shape} answers against {b.shape}")
    if not len(a):
        return math.nan
    observed = (a == b).mean()
    expected = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return float((observed - expected) / (1 - expected)) if expected < 1 else math.nan


class Agreement(NamedTuple):
    """Two annotators compared over the images that both have answered."""

    first: str
    second: str
    both: int
    agree: int
    kappa: float


def collect_verdicts(answers: pd.DataFrame, images: Sequence[ReviewImage]) -> pd.DataFrame:
    """The verdict of each annotator on each image: True (accepted), False or missing.

    Args:
        answers: from `AnswerStore.read_table`; answers about images that are not among `images` are left out.
        images: the images under review.

    Returns:
        One row an image, by (group_id, image) in the order of `images`; one column (nullable boolean) an
        annotator, in the order in which they began.
    """
    import pandas as pd

    rows = pd.MultiIndex.from_tuples([(image.pair.id, image.name) for image in images], names=["group_id", "image"])
    by_annotator = {
        name: rows_of_name.set_index(["group_id", "image"])["accepted"].astype("boolean").reindex(rows)
        for name, rows_of_name in answers.groupby("annotator", sort=False)
    }
    return pd.DataFrame(by_annotator, index=rows)


def compare_annotators(table: pd.DataFrame) -> list[Agreement]:
    """The agreement of every two annotators in a table of `collect_verdicts`."""
    agreements = []
    for first, second in combinations(table.columns, 2):
        shared = table[[first, second]].dropna().astype(bool)
        a, b = shared[first].to_numpy(), shared[second].to_numpy()
        agreements.append(Agreement(first, second, len(shared), int((a == b).sum()), cohen_kappa(a, b)))
    return agreements


def mask_conflicts(table: pd.DataFrame) -> pd.Series:
    """True for each row of `collect_verdicts` that somebody accepts and somebody rejects."""
    return table.eq(True).any(axis=1).astype(bool) & table.eq(False).any(axis=1).astype(bool)


def list_conflicts(table: pd.DataFrame) -> pd.DataFrame:
    """The conflicts in a table of `collect_verdicts`: group_id, image, accepted_by, rejected_by (names with commas)."""
    conflicts = table[mask_conflicts(table)]

    def list_names(verdict: bool) -> list[str]:
        return [", ".join(conflicts.columns[row]) for row in conflicts.eq(verdict).fillna(False).to_numpy(bool)]

    return conflicts.index.to_frame(index=False).assign(accepted_by=list_names(True), rejected_by=list_names(False))


def choose_annotators(present: Sequence[str], named: Sequence[str], resolver: str | None) -> tuple[str, str]:
    """The two whose answers count: those named, else the only two there are beside the resolver.

    Raises:
        UserError: if they are not two, not there, or one of them resolves conflicts.
    """
    if not present:
        raise UserError("nobody has answered yet")
    name_of_key = {name_key(name): name for name in present}
    for name in [*named, *([resolver] if resolver else [])]:
        if name_key(name) not in name_of_key:
            raise unknown("annotator", name, present)
    chosen = [name_of_key[name_key(name)] for name in named] or [
        name for name in present if resolver is None or name_key(name) != name_key(resolver)
    ]
    if len({*chosen}) != 2 or len(chosen) != 2:
        names = ", ".join(chosen) or "nobody"
        raise UserError(f"an image must be verified by two annotators, not by {names}; name two with --annotators A,B")
    if resolver and name_of_key[name_key(resolver)] in chosen:
        raise UserError(f"{resolver} is one of the two annotators; name a third person with --resolve")
    return chosen[0], chosen[1]


def decide_states(table: pd.DataFrame, annotators: tuple[str, str], resolver: str | None = None) -> pd.Series:
    """The state of each row of `collect_verdicts`: "accepted", "rejected", "conflict" or "open".

    A row is "open" if one of the two has not answered. The resolver, a third person, turns a conflict into their own
    verdict; without an answer of theirs it stays a conflict.
    """
    import pandas as pd

    first, second = (table[name].astype("boolean") for name in annotators)
    accepted, rejected = (first & second).fillna(False), (~first & ~second).fillna(False)
    divided = (first ^ second).fillna(False)
    if resolver is not None:
        verdict = table[{name_key(name): name for name in table.columns}[name_key(resolver)]].astype("boolean")
        accepted |= divided & verdict.fillna(False)
        rejected |= divided & (~verdict).fillna(False)
    states = pd.Series("open", index=table.index, dtype=object)
    states[divided.to_numpy(bool)] = "conflict"
    states[accepted.to_numpy(bool)] = "accepted"
    states[rejected.to_numpy(bool)] = "rejected"
    return states
