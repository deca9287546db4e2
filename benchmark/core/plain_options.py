"""A command's options without `tyro`, for a machine that has only what computes: plain ones, by `argparse`.

The benches run there (docs/speed.md); a command whose options are not as plain names what to install.
"""

from __future__ import annotations

import argparse
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import Doc

from benchmark.core.errors import UserError
from benchmark.core.ranges import as_option

MISSING = 'this command\'s options are read by tyro, which is not installed: pip install "tyro>=1.0"'
PLAIN = (str, int, float)


def parse(command: Callable[..., Any], words: Sequence[str], prog: str, description: str) -> dict[str, Any]:
    """The values that the words of a command line give to `command`'s parameters.

    Args:
        command: Its parameters are options of text, numbers, switches, paths or choices, each with a default.
        words: What stands behind the command's name.
        prog: The command's name, for its help.
        description: What its help says.

    Raises:
        UserError: for words that it doesn't know, and for a command that has other parameters.
    """
    parser = argparse.ArgumentParser(prog, description=description, allow_abbrev=False, exit_on_error=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    hints = typing.get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        settings = _settings(hints[name])
        if parameter.default is parameter.empty or settings is None:
            raise UserError(MISSING)
        parser.add_argument(as_option(name), default=parameter.default, **settings)
    try:
        values, unknown = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise UserError(f"{error} ({prog} --help)") from error
    if unknown:
        raise UserError(f"unknown: {' '.join(unknown)} ({prog} --help)")
    return vars(values)


def _settings(hint: Any) -> dict[str, Any] | None:
    """An option of this type, as `argparse` takes it; None for a type that is not plain."""
    help_text = None
    while typing.get_origin(hint) is typing.Annotated:
        hint, *metadata = typing.get_args(hint)
        texts = [each.documentation.replace("%", "%%") for each in metadata if isinstance(each, Doc)]
        help_text = texts[0] if texts else help_text
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        settings = _settings(arms[0]) if len(arms) == 1 else None
        return settings and {**settings, "help": settings["help"] or help_text}
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint), "help": help_text}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction, "help": help_text}
    return {"type": hint, "help": help_text} if hint in PLAIN or hasattr(hint, "__fspath__") else None
