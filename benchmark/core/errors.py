"""The one exception for users, a suggestion of the nearest name, and the errors of other libraries in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from benchmark.core.text import name_key

LONGEST = 300  # characters of another library's error message


class UserError(Exception):
    """An error that the user can mend. The message is one line: what is wrong, then how to mend it."""


def unknown(noun: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """A `UserError` for a name that is no `noun`, with the nearest of the `known` names."""
    names = sorted(known)
    close = nearest(name, names)
    advice = f'did you mean "{close}"?' if close else f"known: {', '.join(names)}"
    return UserError(f'no {noun} is called "{name}"; {advice}{" " + hint if hint else ""}')


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known name that is most like `name`, whatever its case; None if none is like it, as of no long text."""
    if len(name) > LONGEST:  # a comparison's time grows with the square of the length
        return None
    name_of_key = {name_key(each): each for each in known}
    close = difflib.get_close_matches(name_key(name), name_of_key, n=1, cutoff=cutoff)
    return name_of_key[close[0]] if close else None


def listed(names: Sequence[str], word: str = "or") -> str:
    """Names as a sentence has them: ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def message_line(error: BaseException) -> str:
    """An error's message on one line; its class's name if it has none.

    Of more than `LONGEST` characters the middle is left out: some libraries say first what failed, and last why.
    """
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= LONGEST else f"{line[: LONGEST * 2 // 3]} ... {line[-LONGEST // 3 :]}"
