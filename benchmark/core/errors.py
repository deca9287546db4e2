"""The one exception a user is meant to read, suggestions of the nearest name, and other libraries' errors in a line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 200  # characters of another library's error message


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, then how to mend it."""


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """A `UserError` for a name that is not known, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    by_lower = {n.lower(): n for n in names}
    advice = f'did you mean "{by_lower[near[0]]}"?' if near else f"known: {', '.join(names)}"
    return UserError(f'no {kind} is called "{name}"; {advice}{" " + hint if hint else ""}')


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most `LONGEST` characters; its class's name if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:LONGEST]
