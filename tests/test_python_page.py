"""docs/python.md runs from top to bottom, as one who reads it would type it."""

from __future__ import annotations

import importlib
import re
import sys
import types
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 5
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)  # dataclasses look a class's module up there
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), vars(page))
    shown = capsys.readouterr().out
    assert "418 editing samples in 18 groups; 320 for locality" in shown
    assert "'sr': 1.0" in shown


@pytest.mark.parametrize("package", ["benchmark", "editors", "leaderboard", "mad"])
def test_what_it_imports_from_a_package_is_public(package: str) -> None:
    for names in re.findall(rf"^from {package} import (.*)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE):
        assert {name.strip() for name in names.split(",")} <= {*importlib.import_module(package).__all__}
