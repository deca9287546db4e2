"""One reader for each format of files from outside, with limits; nothing else in the project parses such files.

Each takes a regular file only, never a pipe, a device or a folder, and none larger than its limit. What a reader
refuses is `Unreadable`, a `UserError` in one line that names the file; a caller that can make the file again catches
it. Parquet, safetensors and pickles have their readers in `benchmark.core.arrays`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.core.csvs import plain_text
from benchmark.core.errors import UserError, message_line
from benchmark.core.files import like, walk

MAX_TEXT = 16 << 20  # bytes of a file of JSON or text; the largest, WordNet's nouns, has 15 MB
MAX_TABLE = (
    512 << 20
)  # bytes of a table in CSV, or of JSON by line: a million images with their credits take some 300 MB
MAX_FIELD = 1 << 20  # characters of one cell of a table
MAX_DEPTH = 64  # of lists and objects within each other; ours are 6 deep
MAX_DIGITS = 20  # of a whole number: all of 64 bits
STORED_AS = {"TEXT": "'text'", "INTEGER": "'integer'", "REAL": "'real', 'integer'"}  # what SQLite calls the values
FIX = "fetch or make it again"


class Unreadable(UserError):
    """A file that is missing, no regular file, too large, damaged or of another format.

    Attributes:
        reason: what is wrong, without the file's name and the fix.
    """

    def __init__(self, where: Path | str, reason: str, fix: str = FIX) -> None:
        super().__init__(f"{where}: {reason}; {fix}")
        self.reason = reason


# ------------------------------------------------------------------------------------------ bytes and text


def check_file(path: Path, limit: int | None = None, fix: str = FIX) -> int:
    """The size in bytes of a regular file that may be read. Raises `Unreadable` for anything else, unopened."""
    try:
        return _check(path, path.stat(), limit, fix)
    except (OSError, ValueError) as error:
        raise Unreadable(path, _reason(error), fix) from error


def check_files_below(folder: Path, fix: str = "take it out of the folder") -> None:
    """Raise `Unreadable` for a pipe, socket or device in a folder or below it; a library would wait for it for ever."""
    for entry in walk(folder):
        if not (entry.is_file() or entry.is_dir()) and Path(entry.path).exists():
            check_file(Path(entry.path), None, fix)


def read_bytes(path: Path, limit: int = MAX_TEXT, fix: str = FIX) -> bytes:
    """All of a regular file of at most `limit` bytes. Raises `Unreadable`."""
    check_file(path, limit, fix)
    try:
        # Opening a pipe that took the file's place meanwhile would wait for whoever writes to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            _check(path, os.fstat(handle), limit, fix)
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise Unreadable(path, _reason(error), fix) from error
    if len(data) > limit:  # it grows, or its size is not told
        raise Unreadable(path, f"is larger than {_size(limit)}", fix)
    return data


def read_text(path: Path, limit: int = MAX_TEXT, fix: str = FIX) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises `Unreadable`."""
    data = read_bytes(path, limit, fix)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(path, f"is no text in UTF-8 ({message_line(error)})", fix) from error


def _check(path: Path, status: os.stat_result, limit: int | None, fix: str) -> int:
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable(path, "is a folder, not a file", fix)
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(path, "is a pipe, socket or device, not a file", fix)
    if limit is not None and status.st_size > limit:
        raise Unreadable(path, f"is larger than {_size(limit)}", fix)
    return status.st_size


def _reason(error: OSError | ValueError) -> str:
    """Say why a file cannot be opened: in the system's words, or as a name that is none."""
    if isinstance(error, FileNotFoundError):
        return f"no such file{like(Path(error.filename))}" if error.filename else "no such file"
    return f"cannot be read ({getattr(error, 'strerror', None) or message_line(error)})"


def _size(limit: int) -> str:
    return f"{limit >> 20:,} MiB" if limit >> 20 else f"{limit:,} bytes"


# ------------------------------------------------------------------------------------------ JSON


def parse_json(text: str | bytes, where: Path | str, fix: str = FIX) -> dict[str, Any]:
    """The object that a text of JSON holds.

    Raises `Unreadable` for another value, for what is nested deeper than `MAX_DEPTH`, for numbers that no computer's
    number holds, and for text that no file could hold.
    """
    try:
        value = json.loads(text, parse_int=_parse_int, parse_float=_parse_float)
        check_depth(value)
    except RecursionError as error:
        raise Unreadable(where, f"is nested deeper than {MAX_DEPTH} levels", fix) from error
    except ValueError as error:
        raise Unreadable(where, f"is no JSON that can be read ({message_line(error)})", fix) from error
    if not isinstance(value, dict):
        raise Unreadable(where, f"must hold an object of JSON, not a {type(value).__name__}", fix)
    return value


def read_json(path: Path, fix: str = FIX) -> dict[str, Any]:
    """The object in a file of JSON. Raises `Unreadable`, as `parse_json` does."""
    return parse_json(read_text(path, fix=fix), path, fix)


def read_json_lines(path: Path, fix: str = FIX) -> list[dict[str, Any]]:
    """The objects in a file with one a line. Raises `Unreadable`, naming the line."""
    lines = read_text(path, MAX_TABLE, fix).split("\n")
    return [parse_json(line, f"{path}, line {n}", fix) for n, line in enumerate(lines, start=1) if line.strip()]


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS or not -(1 << 63) <= int(digits) < 1 << 64:
        raise ValueError(f"a number of {len(digits.lstrip('-'))} digits")
    return int(digits)


def _parse_float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"a number as large as {digits[:20]}")
    return value


def check_depth(value: Any) -> None:
    """Raise `RecursionError` or `ValueError` for what `parse_json` refuses in a parsed value."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and not item.isascii():
                item.encode()  # half of a surrogate pair is no text
        level = below
        if not level:
            return
    raise RecursionError


# ------------------------------------------------------------------------------------------ tables of text


def parse_csv(
    text: io.TextIOBase, where: Path | str, columns: Sequence[str], fix: str = FIX
) -> Iterator[dict[str, str]]:
    """The rows of a table in CSV, each cell as the text that it was made of; what a row lacks is empty.

    Raises `Unreadable` for what is no CSV in UTF-8, lacks one of `columns` or names one twice.
    """
    csv.field_size_limit(MAX_FIELD)
    try:
        reader = csv.DictReader(text, restval="", strict=True)
        names = list(reader.fieldnames or ())
        if missing := [column for column in columns if names.count(column) != 1]:
            problem = "has twice" if missing[0] in names else "lacks"
            raise Unreadable(where, f"{problem} the column {missing[0]}; it must have {', '.join(columns)}", fix)
        for row in reader:
            yield {key: plain_text(value) for key, value in row.items() if isinstance(key, str)}
    except (csv.Error, UnicodeDecodeError) as error:
        raise Unreadable(where, f"is no table in CSV and UTF-8 ({message_line(error)})", fix) from error


def read_csv(path: Path, columns: Sequence[str], fix: str = FIX) -> Iterator[dict[str, str]]:
    """The rows of a file in CSV, as `parse_csv` gives them. Raises `Unreadable`."""
    check_file(path, MAX_TABLE, fix)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from parse_csv(file, path, columns, fix)
    except OSError as error:
        raise Unreadable(path, _reason(error), fix) from error


# ------------------------------------------------------------------------------------------ SQLite


def connect(path: Path, fix: str = FIX, **options: Any) -> sqlite3.Connection:
    """A connection to a database, made if there is none. Raises `Unreadable` for a file that is something else.

    `options` are those of `sqlite3.connect`.
    """
    if os.path.lexists(path):
        check_file(path, None, fix)
        head = read_head(path, 16, fix)
        if head and head != b"SQLite format 3\0":
            raise Unreadable(path, "is no SQLite database", fix)
    return sqlite3.connect(path, **options)


def check_layout(database: sqlite3.Connection, path: Path, schema: str, fix: str = FIX) -> None:
    """Raise `Unreadable` unless a database is whole and has the tables that `schema` makes, and nothing else.

    Views and triggers would do more than we ask; an index more is no harm. Each value must be of its column's type,
    which SQLite itself does not ask for.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        model.executescript(schema)
        expected = dict(_columns_by_table(model))
    try:
        actual = dict(_columns_by_table(database))
        if (damage := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise Unreadable(path, f"is damaged ({damage[:100]})", fix)
        if other := next(database.execute("SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')"), None):
            raise Unreadable(path, f'holds a view or trigger, "{other[0]!r:.60}"', fix)
        for table in {**expected, **actual}:
            if expected.get(table) != actual.get(table):
                raise Unreadable(path, f"has other tables or columns than this version's ({table!r:.60})", fix)
        for table, columns in expected.items():
            _check_types(database, path, table, columns, fix)
    except sqlite3.Error as error:
        raise Unreadable(path, f"is damaged ({message_line(error)})", fix) from error


def _columns_by_table(database: sqlite3.Connection) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """From a table to the name, type, "not null" and key of its columns."""
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    for (table,) in database.execute(names).fetchall():
        query = 'SELECT name, upper(type), "notnull", pk FROM pragma_table_xinfo(?) ORDER BY name'
        yield table, database.execute(query, (table,)).fetchall()


def _check_types(
    database: sqlite3.Connection, path: Path, table: str, columns: Iterable[tuple[Any, ...]], fix: str
) -> None:
    wrong = []
    for name, declared, not_null, key in columns:
        if declared in STORED_AS:
            allowed = STORED_AS[declared] if not_null or key else f"{STORED_AS[declared]}, 'null'"
            wrong.append(f'typeof("{name}") NOT IN ({allowed})')
    if wrong and database.execute(f'SELECT 1 FROM "{table}" WHERE {" OR ".join(wrong)} LIMIT 1').fetchone():
        raise Unreadable(path, f"holds a value in the table {table} that is not of its column's type", fix)


def read_head(path: Path, size: int, fix: str = FIX) -> bytes:
    """The first `size` bytes of a regular file, however large it is. Raises `Unreadable`."""
    check_file(path, None, fix)
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise Unreadable(path, _reason(error), fix) from error
