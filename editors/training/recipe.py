"""What every training recipe is: choices in one frozen record, changed by name, carried by the checkpoint it made."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmark.core.errors import UserError

Kind = TypeVar("Kind", bound="Choices")


@dataclass(frozen=True)
class Choices:
    """The base of a room's own `Recipe`, a frozen dataclass of plain values."""

    def but(self: Kind, **changes: Any) -> Kind:
        """This recipe with some items changed; None leaves an item as it is."""
        return dataclasses.replace(self, **{name: value for name, value in changes.items() if value is not None})

    def to_json(self) -> str:
        """All items, for a checkpoint."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls: type[Kind], text: str) -> Kind:
        """The recipe a checkpoint carries; raises `UserError` for items this version does not know."""
        items = json.loads(text)
        fields = {entry.name for entry in dataclasses.fields(cls)}
        if items.keys() != fields:
            raise UserError(f"its recipe differs in the items {sorted(items.keys() ^ fields)}; train it again")
        return cls(**items)

    def _at_least(self, **least: int) -> None:
        """Raise `UserError`, in the words of the command line, for an item below the value given here."""
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UserError(f"--{name.replace('_', '-')} must be {value} or more")

    def _above_zero(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} must be above 0")
