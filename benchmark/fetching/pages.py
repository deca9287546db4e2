"""Files by their first bytes: what a server sends instead of one, such as a page to sign in, is recognised."""

from __future__ import annotations

import html
import re
from pathlib import Path, PurePosixPath

from benchmark.core.errors import UserError
from benchmark.core.readers import read_head
from benchmark.core.text import printable

FIRST_BYTES = {
    ".zip": (b"PK\x03\x04", b"PK\x05\x06"),
    ".npz": (b"PK\x03\x04",),
    ".gz": (b"\x1f\x8b",),
}
HEAD = 1024  # bytes that are enough for every format here
LONGEST = 120  # characters of a page that are shown


def refuse_page(url: str, media_type: str, head: bytes, name: str) -> None:
    """Raise `UserError` unless a file that begins with `head` is of the format that its name says."""
    if problem := describe(head, name, media_type):
        raise UserError(
            f"{url}: {problem} instead of {name}; open the address in a browser (it may want you to sign in, or the "
            "file is gone), and give what you get there with --from-folder"
        )


def check_format(path: Path, name: str) -> None:
    """Raise `UserError` unless the file `path` is of the format that `name` says."""
    if problem := describe(read_head(path, HEAD), name):
        raise UserError(f"{path}: is {problem.removeprefix('gives ')} and no {PurePosixPath(name).suffix} file")


def describe(head: bytes, name: str, media_type: str = "") -> str | None:
    """Describe what begins with `head` instead of the format that `name` says; None for that format."""
    if head.startswith(FIRST_BYTES[PurePosixPath(name).suffix]):
        return None
    start = head[:HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    text = head[: 64 * HEAD].decode("utf-8", "replace")
    if title := re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL):
        return f'gives a web page ("{_shown(html.unescape(title[1]))}")'
    if start.startswith((b"<!doctype html", b"<html")) or "html" in media_type:
        return "gives a web page"
    if start.startswith((b"<?xml", b"<error", b"{")):
        return f"gives a message ({_shown(re.sub(r'<[^>]*>', ' ', text))})"
    return "gives other bytes" if head else "gives nothing"


def _shown(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
