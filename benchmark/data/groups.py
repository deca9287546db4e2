"""The failure groups that the paper counts, and their names.

A group holds images that the base model gets wrong in the same way. Pair groups are named
"<prediction of the stronger model>-<prediction of the base model>" (paper, Table A).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """One row of the paper's table of groups: `label` is the ImageNet index of the truth, None if many."""

    id: str
    name: str
    subset: str
    label: int | None
    count: int


def _natural(identity: str, name: str, count: int) -> Group:
    return Group(identity, name, "natural", int(identity.split("-")[0]), count)


PAPER_GROUPS: tuple[Group, ...] = (
    _natural("890-430", "volleyball-basketball", 123),
    _natural("933-923", "cheeseburger-plate", 133),
    _natural("470-644", "candle-matchstick", 113),
    _natural("900-437", "water tower-beacon", 159),
    _natural("609-586", "jeep-half track", 410),
    _natural("543-422", "dumbbell-barbell", 240),
    _natural("879-762", "umbrella-restaurant", 49),
    _natural("417-865", "balloon-toyshop", 75),
    _natural("573-751", "go-kart-racer", 172),
    _natural("880-671", "unicycle-mountain bike", 149),
    _natural("954-582", "banana-grocery store", 75),
    _natural("752-890", "racket-volleyball", 137),
    _natural("640-539", "manhole cover-doormat", 80),
    _natural("407-654", "ambulance-minibus", 155),
    _natural("562-975", "fountain-lakeside", 155),
    _natural("888-718", "viaduct-pier", 129),
    Group("17", "oil painting", "oil_painting", None, 860),
    Group("18", "stage light", "stage_light", None, 1092),
)
PAPER_LOCALITY = 2071


def pair_id(strong: int, base: int) -> str:
    """The id of a pair group, e.g. ``890-430``."""
    return f"{strong}-{base}"
