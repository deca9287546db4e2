"""Messages say to install what pyproject.toml asks for, which works in a clone and from a wheel."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_messages_name_packages_and_no_index_of_ours() -> None:
    """No index has this project today, so that its extras cannot be named as if one had."""
    asked_for = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    commands = []
    for package in ("benchmark", "mad", "generation", "editors", "leaderboard"):
        for file in (ROOT / package).rglob("*.py"):
            commands += re.findall(r"pip install ([^\n`]+)", file.read_text(encoding="utf-8"))
    assert len(commands) >= 4
    for command in commands:
        requirement = re.match(r'"([a-z-]+[>=]=[\d.]+)"', command)
        assert requirement and f'"{requirement[1]}"' in asked_for, command
