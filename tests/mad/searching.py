"""Calling `mad.search` as a user does."""

from __future__ import annotations

import pytest

from benchmark.core.cli import run
from mad import search


def call(*arguments: object) -> None:
    run(search.main, [str(argument) for argument in arguments])


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that the command prints when it ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        call(*arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return [line for line in printed.splitlines() if line.startswith("error: ")][-1]
