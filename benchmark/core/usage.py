"""Usage errors in one line: which word of a command line is wrong, and the option that was likely meant.

`tyro` draws a box for them; here its parser is asked for the options it knows, and the words are read once more.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmark.core.errors import UserError, listed, nearest

NUMBERS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "INT": (int, "a whole number"),
    "FLOAT": (float, "a number"),
}


def parser_of(command: Callable[..., Any]) -> argparse.ArgumentParser | None:
    """The options of a command as `tyro` knows them; None with a release of it that does not tell."""
    import tyro

    get_parser = getattr(tyro.extras, "get_parser", None)
    return get_parser(command) if get_parser else None


def usage_error(parser: argparse.ArgumentParser | None, words: Sequence[str], prog: str, box: str) -> UserError:
    """The first fault of a command line that `tyro` refused; `box` is what it drew for that.

    Without a parser, and for a fault that is not seen here, the box's own words.
    """
    fault = parser and _Words(parser._actions).fault(words)
    return UserError(f"{fault or _unboxed(box)} ({prog} --help)")


def unknown_subcommand(words: Sequence[str], known: Sequence[str], prog: str) -> UserError:
    """The error of a command line that does not begin with one of a command's `known` subcommands."""
    if not words or _is_option(words[0]):
        return UserError(f"name the subcommand first, {listed(known)}: {prog} {known[0]} ...")
    close = nearest(words[0], known)
    advice = f'did you mean "{close}"?' if close else f"known: {listed(known)}"
    return UserError(f'no subcommand of {prog} is called "{words[0]}"; {advice}')


class _Words:
    """The words of a command line, read as the options and places of one command."""

    def __init__(self, actions: Sequence[argparse.Action]) -> None:
        self.actions = actions
        self.options = {name: action for action in actions for name in action.option_strings}
        self.places = [action for action in actions if not action.option_strings]

    def fault(self, words: Sequence[str]) -> str | None:
        """The first option that is unknown, lacks a value or has a wrong one; or a word too many, or one that lacks."""
        rest, given, last = [*words], set(), ""
        free: list[tuple[str, str]] = []  # words that are no option's value, and what the option before them takes
        while rest:
            word = rest.pop(0)
            if not _is_option(word):
                free.append((word, last))
                continue
            name, equals, value = word.partition("=")
            action = self.options.get(name.replace("_", "-"))
            if action is None:
                close = nearest(name, self.options, cutoff=0.65)
                return f"no option is called {name}" + (f"; did you mean {close}?" if close else "")
            values = [value] if equals else list(itertools.takewhile(lambda word: not _is_option(word), rest))
            if isinstance(action.nargs, int):
                if len(values) < action.nargs:
                    return f"{name} needs a value: {_about(action)}"
                if equals and not action.nargs:
                    return f"{name} takes no value; leave ={value} out"
                values = values[: action.nargs]
            rest = rest if equals else rest[len(values) :]
            if fault := _wrong_value(name, action, values):
                return fault
            given.add(action)
            last = f"{name} takes {'one' if action.nargs else 'no'} value"
        return self._one_too_many(free) or self._missing(given, len(free))

    def _one_too_many(self, free: Sequence[tuple[str, str]]) -> str | None:
        sizes = [place.nargs if isinstance(place.nargs, int) else 1 for place in self.places]
        if len(free) <= sum(sizes) or any(place.nargs in ("*", "+") for place in self.places):
            return None
        word, last = free[sum(sizes)]
        return f'"{word}" is one word too many{f": {last}" if last else ""}'

    def _missing(self, given: set[argparse.Action], free: int) -> str | None:
        missing = [action for action in self.actions if action.required and action not in given]
        missing = [action for action in missing if action.option_strings or not free]
        names = [action.option_strings[0] if action.option_strings else str(action.metavar) for action in missing]
        if len(names) == 1:
            return f"{names[0]} {'are' if ' ' in names[0] else 'is'} missing: {_about(missing[0])}"
        return f"{listed(names, 'and')} are missing" if names else None


def _wrong_value(name: str, action: argparse.Action, values: Sequence[str]) -> str | None:
    kind = str(action.metavar)
    for value in values:
        if value == "None" and kind.startswith("{None}"):
            continue
        if action.choices is not None and value not in action.choices:
            close = nearest(value, map(str, action.choices))
            advice = f'; did you mean "{close}"?' if close else ""
            return f'{name} must be {listed([*map(str, action.choices)])}, not "{value}"{advice}'
        for metavar, (convert, noun) in NUMBERS.items():
            if metavar in re.split(r"\W+", kind):
                try:
                    convert(value)
                except ValueError:
                    return f'{name} must be {noun}, not "{value}"'
    return None


def _about(action: argparse.Action) -> str:
    """The first sentence of an option's help."""
    text = " ".join((action.help or "").split()).replace("%%", "%")
    return re.split(r"\. |\.? ?\((?:default: |required|repeatable)", text)[0] or str(action.metavar)


def _is_option(word: str) -> bool:
    return word.startswith("-") and re.match(r"-(\d|\.\d|inf|$)", word) is None


def _unboxed(box: str) -> str:
    """The text in a box of `tyro`, without its lines, its title and its pointer to --help."""
    lines = [line.strip("\u2500\u2502\u256d\u256e\u2570\u256f-|+ ") for line in box.splitlines()[1:]]
    text = " ".join(line for line in lines if line)
    return re.split(r"\s*For full helptext", text)[0] or "the command line cannot be read"
