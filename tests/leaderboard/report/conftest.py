"""Reports of a few real runs on noise, and of constructed ones whose verdicts are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmark.core import cli
from leaderboard import submit
from leaderboard.analyses.paper import Sources, read_list
from leaderboard.report.folder import StepLine, write_report
from tests.leaderboard.board.conftest import HOSTILE
from tests.leaderboard.claims.constructed import Quality, sources
from tests.leaderboard.submissions.conftest import ON_NOISE, workplace

__all__ = ["workplace"]
STEPS = [
    StepLine("edit base ft-l2", "Edit & judge.", "done", ("python -m leaderboard.submit ft-l2 --sweep",), 734.2),
    StepLine("masks", "Compare masks.", "not begun", (), None),
]
NOTES = ["Partial: group 890-430 has 12 of 30 images."]


@pytest.fixture(scope="session")
def real(workplace: Path) -> Sources:
    """Runs on noise of two settings of an editor of this project, of one on fewer samples, and of a file's editor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        patch.setenv("VIT_EDIT_BENCH_CACHE", str(workplace / "cache"))
        common = [*ON_NOISE, "--out", "reported"]
        cli.run(submit.main, ["ft-l2:lr=0.01,max_steps=2", "--sweep", "0", "0.1", "--limit", "2", *common])
        cli.run(submit.main, ["ft-l2:lr=0.01,max_steps=2", "--limit", "1", *common])
        cli.run(submit.main, ["mine.py:Mine", "--limit", "1", *common])
        return Sources.below([Path("reported").absolute()])


@pytest.fixture(scope="session")
def known() -> Sources:
    """The runs of Fig. 4 as constructed, with a low GR of lora and a high one of rome; and one of a hostile name."""
    (figure,) = (figure for figure in read_list() if figure.name == "figure-4")

    def quality(setting: Mapping[str, Any]) -> Quality:
        return Quality(gr={"lora": 0.25, "rome": 0.75}.get(setting["editor"], 0.5))

    runs = sources(figure, quality)
    path, last = runs.runs[-1]
    editor = last.editor.model_copy(update={"name": HOSTILE, "spec": HOSTILE})
    stranger = Path("stranger") / path.name
    return dataclasses.replace(
        runs,
        runs=[*runs.runs, (stranger, last.model_copy(update={"editor": editor, "key": "f" * 64}))],
        _read={**runs._read, stranger: runs._read[path]},
    )


@pytest.fixture(scope="session")
def report(known: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report of the constructed runs, with a figure, and one that cannot be made."""
    out = tmp_path_factory.mktemp("report") / "out"
    write_report(known, out, STEPS, NOTES, ["figure-4", "figure-2b", "table-A"])
    return out
