"""The options of a chain and all that follows from them: the problem, its bases, and what must be made here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from benchmark.core.errors import UserError, listed
from benchmark.core.text import printable
from benchmark.fetching.source import sources
from benchmark.models.names import split_spec
from leaderboard.chain.table import Problem, read_table

Scale = Literal["full", "small", "row"]
VERSION = 1  # of what a chain leaves in its folder
PAPER, MINI = "paper", "mini"
DATA = "data/vit-edit-bench"  # where the benchmark is built, below --out
SHARE = 5  # --scale small edits one sample of so many


@dataclass(frozen=True)
class Wishes:
    """The options of `leaderboard.paper`; `device` is the kind of device that was picked."""

    out: Path
    base: str | None = None
    data: str | None = None
    scale: Scale = "full"
    from_folder: Path | None = None
    from_scratch: bool = False
    allow_partial: bool = False
    engine: str = "local"
    device: str = "cpu"
    yes: bool = False

    def __post_init__(self) -> None:
        if self.base is not None and split_spec(self.base)[0] not in self.problem.bases:
            other = " (with --data mini it is)" if self.base == MINI else ""
            raise UserError(
                f"{printable(self.base)} is no base of {self._title}{other}; name {listed(self.problem.bases, 'or')}, "
                "or score editors on another base by leaderboard.tune and leaderboard.submit"
            )
        if self.is_mini and self.scale == "row":
            raise UserError("--scale row is a row on real weights; leave --data mini out, or take --scale small")
        if self.is_mini and self.from_folder is not None:
            raise UserError("--from-folder has nothing to give: the mini comes with the project; leave it out")

    @property
    def is_mini(self) -> bool:
        """True for the embedded benchmark."""
        return self.data == MINI

    @property
    def problem(self) -> Problem:
        """The settings of the steps."""
        return read_table().problems[MINI if self.is_mini else PAPER]

    @property
    def _title(self) -> str:
        return "the mini" if self.is_mini else "the paper"

    @cached_property
    def bases(self) -> dict[str, str | None]:
        """The bases by alias, and how they were written; None where their weights are fetched."""
        if self.base is not None:
            name, file = split_spec(self.base)
            return {name: self.base if file or name not in sources() else None}
        aliases = self.problem.bases[: 1 if self.scale != "full" else None]
        return {name: None if name in sources() else name for name in aliases}

    @property
    def labeller(self) -> str:
        """The base that the locality set was chosen with, which labels it."""
        return self.problem.bases[0]

    @property
    def needs_networks(self) -> bool:
        """True if the networks of trained editors are trained here, and none that comes with the project is taken."""
        return self.from_scratch or not self.is_mini

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of what is fetched."""
        needed: list[str] = []
        if self.data is None:
            needed += [*read_table().sources[self.scale], *([] if self.labeller in self.bases else [self.labeller])]
        elif self.problem.images is None and self.scale != "row":
            needed.append("imagenet")
        return tuple(dict.fromkeys([*needed, *(name for name, spec in self.bases.items() if spec is None)]))

    @property
    def conditions(self) -> frozenset[str]:
        """The conditions that hold, as the ``only`` of a step asks for them."""
        so = {
            self.scale: True,
            "fetched": bool(self.sources),
            "built": self.data is None,
            "trained": self.needs_networks,
        }
        return frozenset(name for name, is_so in so.items() if is_so)

    @property
    def limit(self) -> int | None:
        """Editing samples of each run; None: all."""
        return -(-self.problem.samples // SHARE) if self.scale == "small" else None

    @property
    def note(self) -> dict[str, Any]:
        """The values that tell this chain from another in the same folder."""
        return {
            "version": VERSION,
            "base": self.base,
            "data": self.data,
            "scale": self.scale,
            "from_scratch": self.from_scratch,
            "device": self.device,
        }
