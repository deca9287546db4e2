"""README's example is the file that `leaderboard.new` writes, short, and runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.core import cli
from leaderboard import new, submit
from leaderboard.records.runs import find_runs

ROOT = Path(__file__).parent.parent


def test_the_example_is_complete_short_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert len(code.splitlines()) <= 30
    monkeypatch.chdir(tmp_path)
    cli.run(new.main, ["my_editor.py"])
    assert (tmp_path / "my_editor.py").read_text(encoding="utf-8") == code
    cli.run(submit.main, ["my_editor.py:MyEditor", "--limit", "2", "--out", "out"])
    ((_, record),) = find_runs([tmp_path / "out"])
    assert record.scores["sr"].value == 1
    assert record.outcomes.called == 0, "it changes weights only, so it is scored by its weights"


def test_every_command_of_the_readme_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    import importlib

    commands = set(re.findall(r"python -m ([\w.]+)", (ROOT / "README.md").read_text()))
    assert {"mad.search", "leaderboard.submit", "leaderboard.tables"} <= commands
    for name in commands:
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):  # a package runs its __main__
            module = importlib.import_module(f"{name}.__main__")
        with pytest.raises(SystemExit) as stop:
            cli.run(module.main, ["--help"])
        assert stop.value.code == 0
        assert "usage" in capsys.readouterr().out
