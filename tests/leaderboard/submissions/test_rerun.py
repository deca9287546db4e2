"""Edits made again: what only that finds, and what the editor's process is given for it."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from benchmark.core import cli
from leaderboard import verify
from leaderboard.records import record
from leaderboard.submissions.verification import level_of, read_verification
from tests.hub_server import ROOT
from tests.leaderboard.submissions.conftest import ON_NOISE, forge_tables, sign
from tests.leaderboard.test_commands import refused


def test_an_honest_submission_is_run_again(
    submission: Path, again: list[str], shuts_in: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(verify.main, [str(submission), *again, "1"])
    assert level_of(submission, record.read(submission / "record.json")) == "re-run"
    assert "12 of 12 edits were made again: 0 of " in capsys.readouterr().out
    written = read_verification(submission)
    assert written is not None and written.rerun is not None
    rerun = written.rerun
    assert (rerun.share, rerun.seed, rerun.differing, rerun.shut_in) == (1, 0, 0, shuts_in)
    assert len(set(rerun.samples)) == 12 and rerun.predictions == 12 * 12 + 4 * 4 + 3 * 3 + 5 * 5


def test_the_part_is_drawn_by_the_seed(submission: Path, again: list[str]) -> None:
    drawn = []
    for seed in ("1", "1", "2"):
        cli.run(verify.main, [str(submission), *again, "0.3", "--seed", seed])
        written = read_verification(submission)
        assert written is not None and written.rerun is not None
        drawn.append(written.rerun.samples)
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 4


def all_right(edits: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The first outcomes as if their edits had made every image of their groups right."""
    labels = pd.read_parquet("submission/samples.parquet")
    labels = labels[labels["split"] == "edit"]
    for row in range(rows):
        group = labels[labels["group_id"] == edits["group_id"][row]]
        edits.at[row, "group_predictions"] = group["label"].to_numpy(np.int16)
    return edits


def test_outcomes_that_were_flipped_are_found_by_a_re_run_alone(
    submission: Path, again: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = record.read(submission / "record.json").scores["gr"].value
    forge_tables(submission, lambda edits: all_right(edits, 1))
    assert record.read(submission / "record.json").scores["gr"].value != before, "it pays"
    cli.run(verify.main, [str(submission), *ON_NOISE])
    line = refused(capsys, verify.main, str(submission), *again, "1")
    assert re.search(
        "1 of 12 edits that were made again are not those of its outcomes: of sample 0, . of 4 group", line
    )
    verification = read_verification(submission)
    assert verification is not None and verification.level == "recomputed", "the one from before, whole"


@pytest.mark.parametrize("editor", ["ByHash", "KeepsState"])
def test_editors_that_answer_otherwise_the_second_time_are_found(
    editor: str, submission_of: Callable[..., Path], submission: Path, again: list[str], capsys
) -> None:
    """One knows the hashes of the images that are scored, one has all earlier edits in each."""
    dishonest = shutil.copytree(submission_of(f"mine.py:{editor}"), Path("dishonest"))
    cli.run(verify.main, [str(dishonest), *ON_NOISE])
    line = refused(capsys, verify.main, str(dishonest), *again, "1")
    assert re.search(r"edits that were made again are not those of its outcomes", line), line


def test_weights_that_cannot_be_had_are_named(
    submission_of: Callable[..., Path], workplace: Path, submission: Path, again: list[str], capsys
) -> None:
    save_file({"a": torch.zeros(3)}, workplace / "w.safetensors")
    weighs = shutil.copytree(submission_of("mine.py:Weighs:weights=w.safetensors"), Path("weighs"))
    cli.run(verify.main, [str(weighs), *again, "1"])
    (file,) = (weighs / "files").iterdir()
    save_file({"a": torch.ones(3)}, file)
    sign(weighs)
    line = refused(capsys, verify.main, str(weighs), *again, "1")
    assert "its settings name w.safetensors, and no file in files has its hash" in line
    file.unlink()
    sign(weighs)
    cli.run(verify.main, [str(weighs), *ON_NOISE])
    line = refused(capsys, verify.main, str(weighs), *again, "1")
    assert "put it there, or verify without --rerun" in line


def chance(edits: int, forged: int, share: float) -> float:
    """The probability that a draw without replacement has one of the forged edits, or more."""
    drawn = math.ceil(share * edits)
    return 1 - math.comb(edits - forged, drawn) / math.comb(edits, drawn)


def test_the_page_says_how_often_a_re_run_finds_a_forgery() -> None:
    page = (ROOT / "docs" / "submitting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) of 418 \((\d+) %\) \| (\d+) % \|$", page, flags=re.MULTILINE)
    assert len(rows) >= 4
    for count, share, percent in rows:
        forged = int(count)
        assert round(100 * forged / 418) == int(share)
        assert round(100 * chance(418, forged, 0.05)) == int(percent)
