"""Numbers are checked against the ranges in their types."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from benchmark.core import cli
from benchmark.core.commands import PACKAGES, commands
from benchmark.core.errors import UserError
from benchmark.core.ranges import (
    Count,
    Fraction,
    Positive,
    SeedNumber,
    Share,
    _arms,
    as_option,
    check_fields,
    check_ranges,
)
from editors.core.registry import built_in

ANY_FINITE = {
    "sweep",
    "interpolate",
    "block",
}  # knobs of any editor; points beyond the edited model; counted from behind


@dataclass(frozen=True)
class Settings:
    rate: Positive = 1.0
    count: Count | None = None


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (Count, 0, "1 or more, not 0"),
        (Count | None, -1, "1 or more, not -1"),
        (SeedNumber, -1, "0 or more and below 4294967296, not -1"),
        (SeedNumber, 2**64, "0 or more and below 4294967296, not 18446744073709551616"),
        (SeedNumber, 10**400, "not a number of more than 20 digits"),
        (Positive, 0.0, "above 0, not 0"),
        (Positive, float("nan"), "above 0, not nan"),
        (Fraction, 1.5, "between 0 and 1, not 1.5"),
        (Share, 0, "above 0 and at most 1, not 0"),
        (float, float("inf"), "a finite number, not inf"),
        (tuple[Fraction, ...], (0.5, 2.0), "between 0 and 1, not 2"),
        (tuple[float, ...] | None, (1.0, float("-inf")), "a finite number, not -inf"),
        (Settings, Settings(rate=-1.0), "above 0, not -1"),
    ],
)
def test_a_number_out_of_its_range_is_named(hint: Any, value: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        check_ranges({"the_value": value}, {"the_value": hint}, as_option)
    name = "--rate" if hint is Settings else "--the-value"
    assert str(error.value).startswith(f"{name} must be ") and str(error.value).endswith(words)


def test_numbers_in_their_range_pass_and_so_does_all_that_is_no_number() -> None:
    values = {"a": 1, "b": None, "c": True, "d": "nan", "e": (0.0, 1.0), "f": 2**32 - 1, "g": Settings(count=3)}
    hints = {"a": Count, "b": Count | None, "c": bool, "d": str, "e": tuple[Fraction, ...], "f": SeedNumber}
    check_ranges(values, hints)
    check_fields(Settings())


def test_a_command_does_not_begin_with_an_option_out_of_its_range(capsys: pytest.CaptureFixture[str]) -> None:
    begun: list[int] = []

    def command(batch_size: Count = 64) -> None:
        begun.append(batch_size)

    with pytest.raises(SystemExit) as stopped:
        cli.run(command, ["--batch-size", "0"])
    assert (stopped.value.code, begun) == (2, [])
    assert capsys.readouterr().err == "error: --batch-size must be 1 or more, not 0\n"
    cli.run(command, ["--batch-size", "2"])
    assert begun == [2]


def _numbers(name: str, hint: Any) -> Iterator[tuple[str, bool]]:
    """Each number in a type: its name, and whether it has a range."""
    for arm, bounds in _arms(hint):
        if dataclasses.is_dataclass(arm):
            for field, field_hint in typing.get_type_hints(arm, include_extras=True).items():
                yield from _numbers(field, field_hint)
        elif typing.get_origin(arm) is tuple:
            yield from _numbers(name, typing.get_args(arm)[0])
        elif arm in (int, float):
            yield name, bool(bounds)


def test_every_number_that_a_command_or_an_editor_takes_has_a_range() -> None:
    functions = []
    for module_name in (name for package in PACKAGES for name in commands(package)):
        module = importlib.import_module(module_name)
        if not hasattr(module, "main"):
            module = importlib.import_module(f"{module_name}.__main__")
        functions += list(module.main.values()) if isinstance(module.main, Mapping) else [module.main]
    functions = [function.func if isinstance(function, partial) else function for function in functions]
    configs = [editor.Config for editor in built_in(listed_only=False).values()]
    assert len(functions) > 20 and len(configs) > 10
    without = {
        f"{owner.__module__} {name}"
        for owner in [*functions, *configs]
        for parameter, hint in typing.get_type_hints(owner, include_extras=True).items()
        for name, has_range in _numbers(parameter, hint)
        if not has_range and name not in ANY_FINITE
    }
    assert without == set()
