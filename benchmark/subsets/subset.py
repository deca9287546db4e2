"""A subset of the full benchmark, and the list of all: each file of this room that holds one as `SUBSET`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.core.plugins import import_room
from benchmark.data.groups import Group
from benchmark.data.scored import LOCALITY, UNGROUPED
from benchmark.images.files import ImageFiles
from benchmark.subsets.inputs import Input


@dataclass(frozen=True)
class Subset:
    """One subset: its origin and its reader.

    name: as the column `subset` has it, and where it has no groups its split; ``benchmark.build`` has an option of
        this name.
    option: the help of that option.
    origin: the source of the images, for the card; Markdown.
    passed_on: whether its pixels may be published.
    read: lists the images of an archive or folder; raises `UserError` for one that is not the subset's.
    groups: its failure groups; those that the paper counts have its count, all others None.
    """

    name: str
    option: str
    origin: str
    passed_on: bool
    read: Callable[[ImageFiles], Input]
    groups: tuple[Group, ...] = ()

    @property
    def of_paper(self) -> bool:
        """True for a subset of the paper's benchmark."""
        return self.name == LOCALITY or any(group.count is not None for group in self.groups)


@functools.cache
def subsets() -> dict[str, Subset]:
    """All subsets by name, in alphabetical order; those without groups stand last."""
    modules = import_room("benchmark.subsets")
    unordered = [module.SUBSET for module in modules if hasattr(module, "SUBSET")]
    ordered = sorted(unordered, key=lambda subset: (subset.name in UNGROUPED, subset.name))
    return {subset.name: subset for subset in ordered}


def all_groups() -> tuple[Group, ...]:
    """The failure groups of all subsets, in the subsets' order."""
    return tuple(group for subset in subsets().values() for group in subset.groups)


def paper_groups() -> tuple[Group, ...]:
    """The 18 failure groups that the paper counts."""
    return tuple(group for group in all_groups() if group.count is not None)
