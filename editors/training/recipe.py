"""The base of every training recipe: settings in one frozen record, which the checkpoint that it made carries."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

from benchmark.core.errors import UserError
from benchmark.core.ranges import Ge, Gt, Le, Lt, as_option, check_fields
from benchmark.core.readers import parse_json

AnyRecipe = TypeVar("AnyRecipe", bound="TrainingRecipe")
TopK: TypeAlias = Annotated[int, Ge(2)]
Width: TypeAlias = Annotated[int, Ge(1), Le(100_000)]  # above, a network fits into no memory
Clamp: TypeAlias = Annotated[float, Gt(0), Lt(0.5)]  # a distance from 0 and from 1


@dataclass(frozen=True)
class TrainingRecipe:
    """A method's own recipe derives from this: a frozen dataclass of plain values, each an option of `editors.train`.

    The docstring below a field is its line in ``--help``.
    """

    KEYS: ClassVar[Mapping[str, str]] = {}  # from a field to its key in checkpoints, where the two differ

    def __post_init__(self) -> None:
        check_fields(self, as_option)

    def but(self: AnyRecipe, **changes: Any) -> AnyRecipe:
        """This recipe with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """All fields, for a checkpoint."""
        values = dataclasses.asdict(self)
        return json.dumps({self.KEYS.get(name, name): value for name, value in values.items()}, sort_keys=True)

    @classmethod
    def from_json(cls: type[AnyRecipe], text: str) -> AnyRecipe:
        """The recipe that a checkpoint carries; raises `UserError` for fields that this version does not know."""
        values = parse_json(text, "its recipe")
        keys = {cls.KEYS.get(field.name, field.name): field.name for field in dataclasses.fields(cls)}
        if values.keys() != keys.keys():
            raise UserError(f"its recipe differs in the fields {sorted(values.keys() ^ keys.keys())}; train it again")
        return cls(**{keys[key]: value for key, value in values.items()})
