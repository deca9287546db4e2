"""Ranges of numbers, which live in the types of options and settings, and are checked before any work begins.

An option says ``limit: Count``, a setting of an editor ``lr: Positive``: `check_ranges` reads the types, so that no
command and no editor compares anything itself. A number that is not finite is in no range.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from benchmark.core.errors import UserError

try:
    from annotated_types import Ge, Gt, Le, Lt
except ModuleNotFoundError:  # it comes with pydantic; a machine that measures speed may have neither (docs/speed.md)

    @dataclasses.dataclass(frozen=True)
    class Ge:  # type: ignore[no-redef]
        """A least value."""

        ge: float

    @dataclasses.dataclass(frozen=True)
    class Gt:  # type: ignore[no-redef]
        """A value that is too small."""

        gt: float

    @dataclasses.dataclass(frozen=True)
    class Le:  # type: ignore[no-redef]
        """A greatest value."""

        le: float

    @dataclasses.dataclass(frozen=True)
    class Lt:  # type: ignore[no-redef]
        """A value that is too large."""

        lt: float


Count: TypeAlias = Annotated[int, Ge(1)]
CountOrZero: TypeAlias = Annotated[int, Ge(0)]
SeedNumber: TypeAlias = Annotated[int, Ge(0), Lt(2**32)]  # what random, numpy and torch all take
Positive: TypeAlias = Annotated[float, Gt(0)]
NotNegative: TypeAlias = Annotated[float, Ge(0)]
Fraction: TypeAlias = Annotated[float, Ge(0), Le(1)]
Share: TypeAlias = Annotated[float, Gt(0), Le(1)]

_HOLDS: dict[type, Callable[[float, Any], bool]] = {
    Ge: lambda value, bound: value >= bound.ge,
    Gt: lambda value, bound: value > bound.gt,
    Le: lambda value, bound: value <= bound.le,
    Lt: lambda value, bound: value < bound.lt,
}


def check_ranges(
    values: Mapping[str, Any], hints: Mapping[str, Any], title: Callable[[str], str] = lambda name: name
) -> None:
    """Raise `UserError` for the first number that is out of its range: ``TITLE must be 1 or more, not 0``.

    `hints` are the types of these values with their ranges, as ``typing.get_type_hints(..., include_extras=True)`` has
    them; `title` turns a value's name into what the user wrote. Members of tuples, and fields of dataclasses, are
    checked as well.
    """
    for name, value in values.items():
        for field, number, bounds in _numbers(name, value, hints.get(name, Any)):
            finite = isinstance(number, int) or math.isfinite(number)  # no float holds every whole number
            if not (finite and all(_HOLDS[type(bound)](number, bound) for bound in bounds)):
                raise UserError(f"{title(field)} must be {in_words(bounds)}, not {_shown(number)}")


def check_fields(settings: Any, title: Callable[[str], str] = lambda name: name) -> None:
    """Raise `UserError` for the first number of a dataclass that is out of its range: for its ``__post_init__``."""
    check_ranges({"": settings}, {}, title)


def as_option(name: str) -> str:
    """A parameter's name as the command line writes it: ``batch_size`` is ``--batch-size``."""
    return f"--{name.replace('_', '-')}"


def in_words(bounds: typing.Sequence[Any]) -> str:
    """A range as a message names it: "1 or more", "above 0", "between 0 and 1"."""
    bound_of = {type(bound): getattr(bound, type(bound).__name__.lower()) for bound in bounds}
    if {Ge, Le} <= bound_of.keys():
        return f"between {_shown(bound_of[Ge])} and {_shown(bound_of[Le])}"
    words = {Ge: "{} or more", Gt: "above {}", Le: "at most {}", Lt: "below {}"}
    return " and ".join(words[kind].format(_shown(bound)) for kind, bound in bound_of.items()) or "a finite number"


def _numbers(name: str, value: Any, hint: Any) -> Iterator[tuple[str, float, list[Any]]]:
    """All numbers in a value of this type: the name of the value or field, the number, its bounds."""
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value), include_extras=True)
        for field in dataclasses.fields(value):
            yield from _numbers(field.name, getattr(value, field.name), hints[field.name])
    elif isinstance(value, tuple | list):
        member_hint = next((arm for arm, _ in _arms(hint) if typing.get_origin(arm) in (tuple, list)), Any)
        members = [arm for arm in typing.get_args(member_hint) if arm is not ...] or [Any]
        for position, member in enumerate(value):
            yield from _numbers(name, member, members[min(position, len(members) - 1)])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value, [bound for _, bounds in _arms(hint) for bound in bounds]


def _arms(hint: Any, bounds: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The types that a union is made of, each with the bounds that stand at it."""
    if typing.get_origin(hint) is Annotated:
        hint, *metadata = typing.get_args(hint)
        yield from _arms(hint, (*bounds, *(each for each in metadata if type(each) in _HOLDS)))
    elif typing.get_origin(hint) in (types.UnionType, typing.Union):
        for arm in typing.get_args(hint):
            yield from _arms(arm, bounds)
    elif hint is not type(None):
        yield hint, bounds


def _shown(number: float) -> str:
    if isinstance(number, float):
        return f"{number:g}"
    return str(number) if abs(number) < 10**20 else "a number of more than 20 digits"
