"""What a folder holds, as values that two runs of the same command share: times and other chances are left out."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmark.core.checksums import SUMS, read_checksums
from benchmark.core.files import sha256

LEFT = "left behind"
CACHE = "cache"
BY_TIMES = f"{CACHE}/verified/"  # empty files, whose names come from times and inodes
TIMES = {  # columns and keys of wall-clock time and memory, and of what is counted on after an undone answer
    "number",
    "seconds", "score_seconds", "created", "costs", "answered_at", "asked_at", "begun", "modified", "dirty", "commit",
    "mtime_ns", "fetched",
}  # fmt: skip


def contents(folder: Path) -> dict[str, Any]:
    """From the path below `folder` of each file and empty folder to what it holds."""
    held = {
        path.relative_to(folder).as_posix(): _read(path) if path.is_file() else "a folder"
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }
    return {name: value for name, value in held.items() if not name.startswith(BY_TIMES) and name != CACHE}


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The paths in which two folders differ, each with what is wrong with it."""
    lines = [f"{path}: lost" for path in expected if path not in found]
    lines += [f"{path}: {LEFT}" for path in found if path not in expected]
    return lines + [f"{path}: differs" for path in expected if path in found and expected[path] != found[path]]


def _read(path: Path) -> Any:
    try:
        return READERS.get(path.name, READERS.get(path.suffix, read_bytes))(path)
    except Exception as error:  # half a file fails in as many ways as there are readers
        return f"cannot be read: {error}"


def read_bytes(path: Path) -> str:
    """The hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _json(path: Path) -> Any:
    return _without_times(json.loads(path.read_text(encoding="utf-8")))


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key not in TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def _parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return table.select([name for name in table.column_names if name not in TIMES]).to_pylist()


def _tensors(path: Path) -> Any:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata(), {name: _hash(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118


def _state(path: Path) -> Any:
    import torch

    return _hash(torch.load(path, weights_only=True))


def _hash(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()]
    if isinstance(value, dict):
        return {key: _hash(item) for key, item in value.items()}
    return [_hash(item) for item in value] if isinstance(value, list | tuple) else value


def _database(path: Path) -> Any:
    """All tables, whichever of the rows were written in which transaction; write-ahead files beside it count, too."""
    with tempfile.TemporaryDirectory() as folder:  # reading a file that was not closed would change it
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, folder)
        return _tables(Path(folder, path.name))


def _tables(path: Path) -> Any:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        rows = {name: [dict(row) for row in db.execute(f"SELECT * FROM {name} ORDER BY rowid")] for name in names}
        return _without_times({name: of_table for name, of_table in rows.items() if name != "sqlite_sequence"})


def _sums(path: Path) -> Any:
    """The listed names, and whether each hash is that of its file, which may hold times."""
    return {name: digest == sha256(path.parent / name) for name, digest in read_checksums(path.parent).items()}


READERS: dict[str, Callable[[Path], Any]] = {
    SUMS: _sums,
    ".json": _json,
    ".parquet": _parquet,
    ".safetensors": _tensors,
    ".pt": _state,
    ".sqlite": _database,
}
