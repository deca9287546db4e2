"""Text from outside (file names, licences) as text that may be shown: in a terminal, in Markdown."""

from __future__ import annotations

import os
import re


def printable(name: str) -> str:
    """A file's name as Unicode text without control characters; Linux allows other bytes in names."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escape(text: object) -> str:
    """Text as plain Markdown text on one line: no markup, no HTML, no table cell of its own."""
    visible = "".join(c if c.isprintable() else " " for c in str(text))
    return re.sub(r"([\\`*_\[\]<>#|~&$])", r"\\\1", " ".join(visible.split()))
