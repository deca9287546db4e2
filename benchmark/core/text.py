"""Text from outside (names of files and people, titles, messages of libraries) as text that may be shown.

It is `printable` in terminals, tables and pages, and `escape`d in Markdown. A name is known by its `name_key`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from jinja2 import Environment

Value = TypeVar("Value")
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {character: f"{{{character}}}" for character in "[]*"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}"}
    | {">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}
)
LATIN = 0x180  # the first character beyond the letters that every font of LaTeX has


def printable(text: object) -> str:
    """Text on one line, in which control characters and other invisible ones are escapes such as ``\x1b``.

    So are bytes that are no Unicode, which Linux allows in the names of files.
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def printable_lines(text: str) -> str:
    """Text whose lines stay lines, each of them `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name, as `os.fsdecode` keeps it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def escape(text: object) -> str:
    """Text as plain Markdown text on one line: no markup, no HTML, no table cell of its own."""
    visible = "".join(c if c.isprintable() else " " for c in str(text))
    markup = r"(?<![^\W_])_|_(?![^\W_])|[\\`*\[\]<>#|~&$]"  # a _ within a word is none
    return re.sub(markup, r"\\\g<0>", " ".join(visible.split()))


def escape_latex(text: object) -> str:
    r"""Text as plain LaTeX text on one line, also at the start of a table's row, where a ``[`` would be an option.

    Letters beyond Latin, which not every engine and font has, are escapes such as ``\u7f16``.

    >>> escape_latex("50 % [a_b] & \\input{x}")
    '50 \\% {[}a\\_b{]} \\& \\textbackslash{}input\\{x\\}'
    """
    latin = (c if ord(c) < LATIN or c == "–" else c.encode("unicode_escape").decode() for c in printable(text))
    without_ligatures = re.sub(r"([-`'])(?=\1)", r"\1{}", "".join(latin).translate(LATEX))
    return without_ligatures.replace("–", "--")


def plotted(text: str) -> str:
    """Text for a figure of matplotlib, which takes what stands between two ``$`` for a formula."""
    return printable_lines(text).replace("$", r"\$")


def name_key(name: str) -> str:
    """The key under which two spellings are one name: whatever their case, and however accents are encoded.

    >>> name_key("\u00c9ve") == name_key("e\u0301ve")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def find_by_name(values: Mapping[str, Value]) -> Callable[[str], Value | None]:
    r"""A look-up by name: as it is spelled, else under its `name_key` where only one value has that; None for no value.

    A table names files as they were spelled where it was written; archives and other systems spell them anew.

    >>> find = find_by_name({"e\u0301.jpg": 1, "A.jpg": 2, "a.jpg": 3})
    >>> find("\u00e9.JPG"), find("A.jpg"), find("A.JPG")
    (1, 2, None)
    """
    of_key: dict[str, list[Value]] = {}

    def find(name: str) -> Value | None:
        if name in values:
            return values[name]
        if not of_key:
            for known, value in values.items():
                of_key.setdefault(name_key(known), []).append(value)
        same = of_key.get(name_key(name), [])
        return same[0] if len(same) == 1 else None

    return find


def fill_template(template: Path, **values: object) -> str:
    """The page of HTML that a file of jinja2 makes of `values`, in which all text is escaped and printable.

    It may extend and include the templates that lie beside it.
    """
    return _environment(template.parent).get_template(template.name).render(**values)


@functools.cache
def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def visible(value: object) -> object:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return Environment(
        autoescape=True,
        finalize=visible,
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def duration(seconds: float | None) -> str:
    """A time in words: ``40 s``, ``12 min``, ``3.4 h``; a dash where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
