"""Text from outside, shown in a terminal and in Markdown."""

from __future__ import annotations

import re

import pytest

from benchmark.core.text import escape, printable


@pytest.mark.parametrize(
    "text",
    [
        "CC-BY-2.0 | <b>[x](y)</b> *and* `more`",
        "a\n# b",
        "<script>",
        "a\u202eb\x1b[2J",
        "![x](http://y)",
        "&lt;b&gt;",
        "~~a~~",
    ],
)
def test_text_from_outside_is_only_text(text: str) -> None:
    made = escape(text)
    assert made.isprintable()
    assert not re.search(r"(?<!\\)[\\`*_\[\]<>|&~]", re.sub(r"\\[\\`*_\[\]<>#|~&$]", "", made))
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    assert re.sub(r"\\(.)", r"\1", made) == plain


def test_names_are_printable() -> None:
    assert printable("a/\x1b[31mred\n.jpg") == "a/\\x1b[31mred\\n.jpg"
    assert printable("caf\udce9.jpg") == "caf\\xe9.jpg"
    assert printable("größe 1.jpg") == "größe 1.jpg"
