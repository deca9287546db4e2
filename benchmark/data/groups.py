"""A failure group, and its name.

A group holds images that the base model gets wrong in the same way. Pair groups are named
"<prediction of the stronger model>-<prediction of the base model>" (paper, Table A).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """A failure group: `label` is the ImageNet index of the truth, None if there are several."""

    id: str
    name: str
    subset: str
    label: int | None
    count: int | None  # in the paper's table; None if it is not there


PAPER_LOCALITY = 2071


def pair_id(strong: int, base: int) -> str:
    """The id of a pair group, e.g. ``890-430``."""
    return f"{strong}-{base}"
