"""A new file in a room is found without a list that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.plugins import import_room


def test_files_of_a_room_and_entries_of_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("__init__", "b", "a", "deep/__init__", "deep/entry", "deep/other", "notes/__init__", "notes/entry")
    for name in files:
        path = tmp_path / "plugged_room" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NAME = {name!r}")
    monkeypatch.syspath_prepend(tmp_path)
    assert [module.NAME for module in import_room("plugged_room")] == ["a", "b"]
    assert [module.NAME for module in import_room("plugged_room", "entry")] == ["a", "b", "deep/entry", "notes/entry"]
