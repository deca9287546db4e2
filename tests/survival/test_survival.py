"""Every command, disturbed once at each line of our code that writes; the rest is `make reliability`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HALVES = (  # each is a process that imports its commands once
    "submit tune layers iou curve swaps tables hypernetwork mend",
    "search crawl review export build hydrate locality shift procedural paint filter",
)


@pytest.mark.skipif(sys.platform != "linux", reason="the watch stands in front of Linux's libc")
@pytest.mark.parametrize("commands", HALVES)
def test_a_fault_at_any_line_loses_nothing_and_the_same_command_goes_on(commands: str) -> None:
    assert shutil.which("cc"), "the watch needs a C compiler"
    words = [sys.executable, "-m", "tests.survival", "--quick", *commands.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_command_is_forgotten() -> None:
    from tests.survival.cases import CASES

    assert sorted(" ".join(HALVES).split()) == sorted(CASES)
