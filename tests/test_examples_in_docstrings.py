"""The examples in docstrings (``>>>``) give the results that stand below them."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("benchmark", "mad", "generation", "editors", "leaderboard")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_the_examples_are_seen() -> None:
    assert {"benchmark.models.vit", "leaderboard.judging.sampling", "leaderboard.scores.tables"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_an_example_gives_its_result(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0
