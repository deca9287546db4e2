"""The one exception for users, a suggestion of the nearest name, and the errors of other libraries in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from benchmark.core.text import name_key

LONGEST = 200  # characters of another library's error message


class UserError(Exception):
    """An error that the user can mend. The message is one line: what is wrong, then how to mend it."""


def unknown(noun: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """A `UserError` for a name that is no `noun`, with the nearest of the `known` names."""
    names = sorted(known)
    name_of_key = {name_key(n): n for n in names}
    nearest = difflib.get_close_matches(name_key(name), name_of_key, n=1, cutoff=0.5)
    advice = f'did you mean "{name_of_key[nearest[0]]}"?' if nearest else f"known: {', '.join(names)}"
    return UserError(f'no {noun} is called "{name}"; {advice}{" " + hint if hint else ""}')


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most `LONGEST` characters; its class's name if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:LONGEST]
