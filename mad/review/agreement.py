"""What two annotators make of the same images: agreement, conflicts, and what both accepted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.core.errors import UserError, unknown
from mad.review.groups import Item

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


class Pair(NamedTuple):
    """Two annotators compared over the images that both have answered."""

    first: str
    second: str
    both: int
    agree: int
    kappa: float


def verdicts(answers: pd.DataFrame, items: Sequence[Item]) -> pd.DataFrame:
    """Who says what of each item: True, False or missing.

    Args:
        answers: from `Store.table`; answers to what is not among `items` are left out.
        items: what is reviewed.

    Returns:
        One row an item, by (group_id, image) in the order of `items`; one column (nullable boolean) an
        annotator, in the order in which they began.
    """
    import pandas as pd

    rows = pd.MultiIndex.from_tuples([(item.group.id, item.image) for item in items], names=["group_id", "image"])
    by_annotator = {
        name: given.set_index(["group_id", "image"])["accepted"].astype("boolean").reindex(rows)
        for name, given in answers.groupby("annotator", sort=False)
    }
    return pd.DataFrame(by_annotator, index=rows)


def pairs(table: pd.DataFrame) -> list[Pair]:
    """Every two annotators of `verdicts` compared."""
    found = []
    for first, second in combinations(table.columns, 2):
        shared = table[[first, second]].dropna().astype(bool)
        a, b = shared[first].to_numpy(), shared[second].to_numpy()
        found.append(Pair(first, second, len(shared), int((a == b).sum()), cohen_kappa(a, b)))
    return found


def conflicting(table: pd.DataFrame) -> pd.Series:
    """For each row of `verdicts`, whether somebody accepts and somebody rejects."""
    return table.eq(True).any(axis=1).astype(bool) & table.eq(False).any(axis=1).astype(bool)


def conflicts(table: pd.DataFrame) -> pd.DataFrame:
    """The conflicts among `verdicts`: group_id, image, and who accepts and who rejects (names parted by commas)."""
    found = table[conflicting(table)]

    def who(verdict: bool) -> list[str]:
        return [", ".join(found.columns[row]) for row in found.eq(verdict).fillna(False).to_numpy(bool)]

    return found.index.to_frame(index=False).assign(accepted_by=who(True), rejected_by=who(False))


def two_annotators(present: Sequence[str], named: Sequence[str], resolver: str | None) -> tuple[str, str]:
    """The two whose answers count: those named, else the only two there are beside the resolver.

    Raises:
        UserError: if they are not two, not there, or one of them resolves conflicts.
    """
    if not present:
        raise UserError("nobody has answered yet")
    known = {name.lower(): name for name in present}
    for name in [*named, *([resolver] if resolver else [])]:
        if name.lower() not in known:
            raise unknown("annotator", name, present)
    chosen = [known[name.lower()] for name in named] or [
        name for name in present if resolver is None or name.lower() != resolver.lower()
    ]
    if len({name.lower() for name in chosen}) != 2 or len(chosen) != 2:
        who = ", ".join(chosen) or "nobody"
        raise UserError(f"an image counts as verified by two annotators, here: {who}; name two with --annotators A,B")
    if resolver and resolver.lower() in {name.lower() for name in chosen}:
        raise UserError(f"{resolver} is one of the two annotators; conflicts are for a third person to resolve")
    return chosen[0], chosen[1]


def outcomes(table: pd.DataFrame, annotators: tuple[str, str], resolver: str | None = None) -> pd.Series:
    """What becomes of each row of `verdicts`: "accepted", "rejected", "conflict" or "open".

    "open" is what one of the two has not answered. A conflict becomes what the resolver, a third person, says
    of it; without an answer of theirs it stays a conflict.
    """
    import pandas as pd

    first, second = (table[name].astype("boolean") for name in annotators)
    accepted, rejected = (first & second).fillna(False), (~first & ~second).fillna(False)
    divided = (first ^ second).fillna(False)
    if resolver is not None:
        word = table[{name.lower(): name for name in table.columns}[resolver.lower()]].astype("boolean")
        accepted |= divided & word.fillna(False)
        rejected |= divided & (~word).fillna(False)
    result = pd.Series("open", index=table.index, dtype=object)
    result[divided.to_numpy(bool)] = "conflict"
    result[accepted.to_numpy(bool)] = "accepted"
    result[rejected.to_numpy(bool)] = "rejected"
    return result
