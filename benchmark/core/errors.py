"""The one exception for users, a suggestion of the nearest name, and the errors of other libraries in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from benchmark.core.text import name_key

LONGEST = 200  # characters of another library's error message


class UserError(Exception):
    """An error that the user can mend. The message is one line: what is wrong, then how to mend it."""


def unknown(noun: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """A `UserError` for a name that is no `noun`, with the nearest of the `known` names."""
    names = sorted(known)
    close = nearest(name, names)
    advice = f'did you mean "{close}"?' if close else f"known: {', '.join(names)}"
    return UserError(f'no {noun} is called "{name}"; {advice}{" " + hint if hint else ""}')


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, whatever its case; None if none is like it."""
    name_of_key = {name_key(each): each for each in known}
    close = difflib.get_close_matches(name_key(name), name_of_key, n=1, cutoff=0.5)
    return name_of_key[close[0]] if close else None


def listed(names: Sequence[str], word: str = "or") -> str:
    """Names as a sentence has them: ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most `LONGEST` characters; its class's name if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:LONGEST]
