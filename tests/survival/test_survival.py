"""Every command, disturbed once at each line of our code that writes; the rest is `make reliability`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.survival.cases import CASES
from tests.test_options import walk

ROOT = Path(__file__).resolve().parents[2]
HALVES = (  # each is a process that imports its commands once
    "submit tune layers iou ablation curve swaps site tables figures hypernetwork ke mend fix",
    "search crawl review status export build own inspect hydrate fetch locality shift procedural paint filter",
)
PAGE = ROOT / "docs" / "reliability.md"
ROW = re.compile(r"^\| `(?P<case>\w+)`: (?P<commands>[^|]+?) \|", flags=re.MULTILINE)
ONE_FILE = "writes one file, if --json names it"
FOR_THE_PROJECT = "makes again what the package holds, from files that neither the package nor its users have"
WITHOUT_A_CASE = {
    "benchmark.probe": FOR_THE_PROJECT,
    "benchmark.rebuild drawings": FOR_THE_PROJECT,
    "benchmark.rebuild models": FOR_THE_PROJECT,
    "mad.rebuild wordnet": FOR_THE_PROJECT,
    "mad.rebuild keywords": FOR_THE_PROJECT,
    "leaderboard.check": "writes nothing",
    "leaderboard.new": "writes one file, by write_text",
    "editors.bench": ONE_FILE,
    "editors.bench metatrain": ONE_FILE,
    "generation.bench": ONE_FILE,
    "leaderboard.verify": "writes one file a run, by write_text",
    "leaderboard.bench": ONE_FILE,
    "leaderboard.bench all": ONE_FILE,
    "leaderboard.bench border": ONE_FILE,
    "leaderboard.bench overhead": ONE_FILE,
    "leaderboard.bench two-pass": ONE_FILE,
    "mad.bench all": ONE_FILE,
    "mad.bench competition": ONE_FILE,
    "mad.bench memory": ONE_FILE,
    "mad.bench predict": ONE_FILE,
    "leaderboard.compare": "writes nothing",
    "leaderboard.paper": "writes by the commands of its steps, and a note of each by write_text; killed in test_chain",
}


@pytest.mark.skipif(sys.platform != "linux", reason="the watch stands in front of Linux's libc")
@pytest.mark.parametrize("commands", HALVES)
def test_a_fault_at_any_line_loses_nothing_and_the_same_command_goes_on(commands: str) -> None:
    assert shutil.which("cc"), "the watch needs a C compiler"
    words = [sys.executable, "-m", "tests.survival", "--quick", *commands.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_case_is_forgotten() -> None:
    rows = [row["case"] for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
    assert sorted(" ".join(HALVES).split()) == sorted(CASES) == sorted(rows)


def test_every_command_has_a_case_or_a_reason() -> None:
    """The page's table names each case's commands, with the options that matter."""
    rows = [row["commands"] for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
    with_a_case = {command.partition(" --")[0] for row in rows for command in row.split(", ")}
    assert not with_a_case & WITHOUT_A_CASE.keys()
    assert {option.command for option in walk()} == with_a_case | WITHOUT_A_CASE.keys()
