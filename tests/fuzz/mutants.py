"""The changes: of a file's bytes, of its kind, and of what its format holds."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 99, 900, 5000, 65536, 10**6, 10**12, 2**63, 10**30, 1.5, -0.0, 1e-300, 1e300, float("nan"),
    float("inf"), "", "x", "nan", "../../x", "/etc/passwd", "\x1b[31m", "<img src=x>", "=1+1", "é\u0301\u202e", "\0",
    "a" * 100_000, "9" * 5000, [], {}, [[]], {"": None}, [1, 2, 3], [3, 10**6, 10**6],
)  # fmt: skip


def mutate(file: Path, draw: random.Random) -> str:
    """Change a file in one to three ways, and say which; what a changed file no longer allows is left out."""
    names = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        name, change = draw.choice([*KINDS, *BYTES, *BYTES, *BYTES, *OF_FORMAT.get(file.suffix, ()) * 8])
        with contextlib.suppress(Exception):
            change(file, draw)
            names.append(name)
        if (name, change) in KINDS:
            break
    return ", ".join(names) or "nothing"


# ------------------------------------------------------------------------------------------ the kind of file


def _pipe(file: Path, draw: random.Random) -> None:
    file.unlink()
    os.mkfifo(file)


def _folder(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.mkdir()


def _device(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.symlink_to(draw.choice(("/dev/zero", "/dev/null", "/dev/urandom")))


def _loop(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _gone(file: Path, draw: random.Random) -> None:
    file.unlink()


def _huge(file: Path, draw: random.Random) -> None:
    with file.open("r+b") as opened:
        opened.truncate(6 << 30)  # sparse: it takes no room


def _secret(file: Path, draw: random.Random) -> None:
    file.chmod(0)


# ------------------------------------------------------------------------------------------ bytes


def _flip(file: Path, draw: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(draw.choice((1, 1, 4, 32))):
        if data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    file.write_bytes(data)


def _head(file: Path, draw: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for position in range(min(len(data), 64)):
        if draw.random() < 0.1:
            data[position] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
    file.write_bytes(data)


def _cut(file: Path, draw: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: draw.choice((0, 1, 8, draw.randrange(len(data) + 1), len(data) - 1))])


def _repeat(file: Path, draw: random.Random) -> None:
    data = file.read_bytes()
    start = draw.randrange(len(data) + 1)
    end = min(len(data), start + draw.choice((1, 16, 1000)))
    file.write_bytes(data[:end] + data[start:end] * draw.choice((1, 2, 1000)) + data[end:])


def _noise(file: Path, draw: random.Random) -> None:
    data = file.read_bytes()
    start = draw.randrange(len(data) + 1)
    file.write_bytes(data[:start] + draw.randbytes(draw.choice((1, 4, 400))) + data[start:])


def _foreign(file: Path, draw: random.Random) -> None:
    others = (
        b"",
        b"PK\x05\x06" + bytes(18),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b"<html>",
        b"SQLite format 3\0",
    )
    file.write_bytes(draw.choice(others) + draw.choice((b"", file.read_bytes()[:100])))


# ------------------------------------------------------------------------------------------ JSON


def _places(value: Any, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _change_value(value: Any, draw: random.Random) -> Any:
    """Delete, replace, or wrap a value somewhere in a value of JSON, or add a key."""
    place = draw.choice(_places(value))
    new: Any = draw.choice(VALUES)
    if draw.random() < 0.1:
        for _ in range(draw.choice((10, 70, 500))):
            new = [new] if draw.random() < 0.5 else {"a": new}
    if not place:
        return new
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    action = draw.random()
    if action < 0.25:
        del holder[place[-1]]
    elif action < 0.35 and isinstance(holder, dict):
        holder[draw.choice(("", "x", "__class__", "\x1b[0m"))] = new
    elif action < 0.45:
        holder[place[-1]] = [holder[place[-1]]]
    else:
        holder[place[-1]] = new
    return value


def _json(file: Path, draw: random.Random) -> None:
    lines = [json.loads(line) for line in file.read_text().split("\n") if line] if file.suffix == ".jsonl" else []
    if lines:
        at = draw.randrange(len(lines))
        lines[at] = _change_value(lines[at], draw)
        file.write_text("\n".join(map(json.dumps, lines)))
    else:
        file.write_text(json.dumps(_change_value(json.loads(file.read_text()), draw)))


def _json_text(file: Path, draw: random.Random) -> None:
    """Numbers and escapes that no JSON library writes."""
    text = file.read_text()
    new = draw.choice(
        ("1" * 5000, "1e400", "-1e999", "NaN", "Infinity", '"\\ud800"', "0x1", "[" * 2000 + "]" * 2000, "1.0")
    )
    numbers = [i for i, c in enumerate(text) if c.isdigit() and not text[i - 1].isdigit()]
    at = draw.choice(numbers)
    end = at
    while end < len(text) and text[end] in "0123456789.":
        end += 1
    file.write_text(text[:at] + new + text[end:])


# ------------------------------------------------------------------------------------------ other formats


def _csv(file: Path, draw: random.Random) -> None:
    lines = file.read_text(errors="surrogateescape").split("\n")
    at = draw.randrange(len(lines))
    cells = lines[at].split(",")
    cell = draw.randrange(len(cells))
    new = [
        [],
        [str(draw.choice(VALUES))],
        ['"'],
        [cells[cell], cells[cell]],
        ["\n"],
        ["9" * 5000],
        ["-1"],
        ["1000"],
        ["\x00"],
    ]
    cells[cell : cell + 1] = draw.choice(new)
    lines[at] = ",".join(cells)
    if draw.random() < 0.2:
        lines.insert(draw.randrange(len(lines)), lines[draw.randrange(len(lines))])
    file.write_text("\n".join(lines), errors="surrogateescape")


def _parquet(file: Path, draw: random.Random) -> None:
    table = pq.read_table(file)
    name = draw.choice(table.column_names)
    at, values = table.column_names.index(name), table[name].to_pylist()
    action = draw.randrange(6)
    if action == 0:
        table = table.drop_columns([name])
    elif action == 1:
        table = table.rename_columns([draw.choice(table.column_names) if n == name else n for n in table.column_names])
    elif action == 2:
        table = pa.concat_tables([table, table.slice(0, draw.randrange(len(table) + 1))])
    elif action == 3:
        table = table.slice(0, draw.randrange(len(table)))
    elif action == 4:
        table = table.set_column(at, name, pa.array([draw.choice(VALUES[:23])] * len(table)))
    else:
        row = draw.randrange(len(values))
        values[row] = _change_value(values[row], draw) if isinstance(values[row], (list, dict)) else draw.choice(VALUES)
        kept = table.schema.field(name).type if draw.random() < 0.7 else None
        table = table.set_column(at, name, pa.array(values, kept))
    pq.write_table(table, file)


def _safetensors(file: Path, draw: random.Random) -> None:
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    header, body = data[8 : 8 + length], data[8 + length :]
    action = draw.randrange(4)
    if action == 0:
        length = draw.choice((0, 2**63, 2**32, 200 << 20, len(data)))
        file.write_bytes(struct.pack("<Q", length) + header + body)
        return
    if action == 1:
        values = bytearray(body)
        for _ in range(draw.choice((1, 100))):
            at = draw.randrange(max(1, len(values) // 4)) * 4
            values[at : at + 4] = struct.pack("<f", draw.choice((float("nan"), float("inf"), 1e38, 0.0)))
        file.write_bytes(data[:8] + header + values)
        return
    changed = _change_value(json.loads(header.decode()), draw)
    if action == 2 and isinstance(changed, dict) and isinstance(changed.get("__metadata__"), dict):
        key = draw.choice([*changed["__metadata__"], "x"])
        changed["__metadata__"][key] = _changed_text(changed["__metadata__"].get(key, ""), draw)
    text = json.dumps(changed).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + body)


def _changed_text(text: Any, draw: random.Random) -> str:
    """A text of JSON with another value in it; any other text becomes another one."""
    try:
        return json.dumps(_change_value(json.loads(text), draw))
    except (ValueError, TypeError):
        return str(draw.choice(VALUES))


class _Code:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("code-was-run",)


def _pickle(file: Path, draw: random.Random) -> None:
    state = torch.load(file, weights_only=True)
    tensors = state["state_dict"]
    name = draw.choice(list(tensors))
    shape = tensors[name].shape
    others: list[Callable[[], Any]] = [
        _Code,
        lambda: torch.zeros(1).expand(10**6, 10**6),
        lambda: torch.full(shape, float("nan")),
        lambda: torch.zeros(shape).to_sparse(),
        lambda: torch.zeros(shape, dtype=torch.complex64),
        lambda: torch.zeros(shape, dtype=torch.int64),
        lambda: torch.zeros(3, 5),
        lambda: torch.zeros(0),
        lambda: torch.quantize_per_tensor(torch.zeros(shape), 0.1, 0, torch.qint8),
        lambda: draw.choice(VALUES),
        lambda: state,
    ]
    new = draw.choice(others)()
    if draw.random() < 0.8:
        tensors[name] = new
    else:
        state[draw.choice(("state_dict", "model", "x", 3, None))] = new
    torch.save(state, file, _use_new_zipfile_serialization=draw.random() < 0.7)


def _sqlite(file: Path, draw: random.Random) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = draw.choice([name for name in tables if not name.startswith("sqlite_")])
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        column = draw.choice(columns)
        value = draw.choice([v for v in VALUES if not isinstance(v, (list, dict)) and v not in (10**30, 2**63)])
        database.execute("PRAGMA ignore_check_constraints = ON")
        with database:
            database.execute(
                draw.choice(
                    (
                        f'UPDATE "{table}" SET "{column}" = :value',
                        f'UPDATE "{table}" SET "{column}" = x\'ff00fe\'',
                        f'UPDATE "{table}" SET "{column}" = :value WHERE rowid = 1',
                        f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO y',
                        f'ALTER TABLE "{table}" ADD COLUMN z TEXT',
                        f'DROP TABLE "{table}"',
                        f'CREATE VIEW v AS SELECT * FROM "{table}"',
                        f'CREATE TRIGGER t AFTER INSERT ON "{table}" BEGIN DELETE FROM "{table}"; END',
                        f"PRAGMA user_version = {draw.choice((0, 2, 99))}",
                    )
                ),
                {"value": value},
            )


def _picture(file: Path, draw: random.Random) -> None:
    """A picture of few bytes and many pixels."""
    size = draw.choice(((200_000, 1), (1, 3_000_000), (13_000, 13_000), (20_000, 20_000), (64, 1), (0, 0)))
    Image.new("1", size).save(file, "PNG")


def _yaml(file: Path, draw: random.Random) -> None:
    """A value of YAML that runs code, repeats itself, has another type or is nested; or a line twice."""
    lines = file.read_text().split("\n")
    at = draw.choice([number for number, line in enumerate(lines) if re.match(r"\w+:", line)])
    values = (
        "!!python/object/apply:os.mkdir [code-was-run]",
        "&a [x, *a]",
        "&a [1, 2]\nx: &b [*a, *a]\ny: [*b, *b]",
        "[" * 500 + "]" * 500,
        "{" + "? " * 300,
        "2026-01-01",
        "|\n  text",
        "~",
        json.dumps(draw.choice(VALUES)),
    )
    name = lines[at].partition(":")[0]
    lines[at] = draw.choice((f"{name}: {draw.choice(values)}", f"{lines[at]}\n{lines[at]}", f"{name} x", "---", ""))
    file.write_text("\n".join(lines))


def _text(file: Path, draw: random.Random) -> None:
    """A text with a piece doubled, taken out, or put in."""
    text = file.read_text(errors="replace")
    pieces = (
        ":",
        ",",
        "=",
        "c=",
        "lr=-1",
        "1e400",
        "nan",
        "x" * 300,
        "\x1b[31m",
        "\0",
        "../",
        "mine.py:",
        "mine.py:Mine",
        "é\u202e",
        "%s",
        "{}",
    )
    at = draw.randrange(len(text) + 1)
    end = min(len(text), at + draw.choice((0, 0, 1, 5)))
    file.write_text(draw.choice((text[:at] + draw.choice(pieces) + text[end:], draw.choice(pieces), text * 2)))


Change = tuple[str, Callable[[Path, random.Random], None]]


def _named(*changes: Callable[[Path, random.Random], None]) -> list[Change]:
    return [(change.__name__.strip("_"), change) for change in changes]


KINDS = _named(_pipe, _folder, _device, _loop, _gone, _huge, _secret)
BYTES = _named(_flip, _head, _cut, _repeat, _noise, _foreign)
OF_FORMAT: dict[str, list[Change]] = {
    ".json": _named(_json, _json, _json_text),
    ".jsonl": _named(_json, _json_text),
    ".csv": _named(_csv),
    ".parquet": _named(_parquet),
    ".safetensors": _named(_safetensors),
    ".pth": _named(_pickle),
    ".sqlite": _named(_sqlite),
    ".png": _named(_picture),
    ".txt": _named(_text),
    ".py": _named(_text),
    ".yaml": _named(_yaml, _yaml, _text),
}
