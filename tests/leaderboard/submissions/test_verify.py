"""Verifying without a re-run: an honest submission passes, and each forgery of its files is one line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core import cli
from benchmark.core.files import sha256
from leaderboard import verify
from leaderboard.records import record
from leaderboard.submissions import verification
from leaderboard.submissions.verification import level_of, read_verification
from tests.leaderboard.submissions.conftest import ON_NOISE, forge_record, forge_tables, sign
from tests.leaderboard.test_commands import refused


def verified(folder: Path, *words: str) -> str:
    """The level that a submission's verification gives it."""
    cli.run(verify.main, [str(folder), *ON_NOISE, *words])
    return level_of(folder, record.read(folder / "record.json"))


def test_an_honest_submission_is_recomputed(submission: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert level_of(submission, record.read(submission / "record.json")) == "claimed"
    assert verified(submission) == "recomputed"
    shown = capsys.readouterr().out
    assert "12 edits, none missing or doubled" in shown and "level: recomputed; " in shown
    written = read_verification(submission)
    assert written is not None and written.rerun is None and written.record_sha256 == sha256(submission / "record.json")
    assert written.device == "cpu" and written.versions["torch"]
    assert verified(submission) == "recomputed", "a verification is replaced by the next"


def test_a_verification_is_bound_to_its_record(submission: Path) -> None:
    verified(submission)
    forge_record(submission, lambda data: data.update(created="2026-01-01"))
    assert level_of(submission, record.read(submission / "record.json")) == "claimed"
    (submission / "verification.json").write_text('{"level": "re-run"}')
    with pytest.raises(verification.Unreadable, match="no verification of this version"):
        read_verification(submission)


def doubled(edits: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([edits, edits.iloc[:1]], ignore_index=True)


def swapped(edits: pd.DataFrame) -> pd.DataFrame:
    return edits.iloc[[1, 0, *range(2, len(edits))]].reset_index(drop=True)


def relabelled(samples: pd.DataFrame) -> pd.DataFrame:
    return samples.assign(label=samples["label"].where(samples.index != 3, samples["label"] + 1))


def repredicted(samples: pd.DataFrame) -> pd.DataFrame:
    return samples.assign(base=samples["base"].where(samples.index != 3, samples["base"] + 1).astype("int16"))


def forge_key(folder: Path) -> None:
    note = json.loads((folder / "run.json").read_text())
    note["facts"]["protocol"]["seed"] = 7
    (folder / "run.json").write_text(json.dumps(note))
    sign(folder)


def swap_source(folder: Path, name: str = "steps.py") -> None:
    file = folder / "source" / name
    file.write_text(file.read_text() + "\nprint()\n")
    sign(folder)


def take_out_source(folder: Path) -> None:
    (folder / "source" / "steps.py").unlink()
    sign(folder)


def add_record(folder: Path) -> None:
    shutil.copytree(folder, folder / "again", ignore=lambda *_: ["source", "SHA256SUMS", "submission.yaml", "again"])
    sign(folder)


FORGERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a score edited": (
        lambda folder: forge_record(folder, lambda data: data["scores"]["gr"].update(value=0.99)),
        r"gr is 0.99 in the record, and 0\.\d+ by its outcomes",
    ),
    "an interval edited": (
        lambda folder: forge_record(folder, lambda data: data["scores"]["sr"].update(low=0.999)),
        "the lower end of sr is 0.999 in the record",
    ),
    "a score added": (
        lambda folder: forge_record(folder, lambda data: data["scores"].update(gx={"value": 1.0})),
        "the score gx stands in the record alone",
    ),
    "a time edited": (
        lambda folder: forge_record(folder, lambda data: data["costs"].update(median_edit_seconds=1e-9)),
        "costs.median_edit_seconds is not the median",
    ),
    "failures hidden": (
        lambda folder: forge_record(folder, lambda data: data["outcomes"].update(median_steps=1.0)),
        "outcomes.median_steps is 1.0 in the record",
    ),
    "a noise floor that excuses all": (
        lambda folder: forge_record(folder, lambda data: data["noise_floor"].update(flips=5, images=16)),
        "a noise floor of 5 flips",
    ),
    "an outcome's file changed": (
        lambda folder: (folder / "outcomes.parquet").write_bytes(b"PAR1"),
        "outcomes.parquet is not as it was when SHA256SUMS was written",
    ),
    "a label changed": (
        lambda folder: forge_tables(folder, samples=relabelled),
        "1 rows of samples.parquet are not .*label",
    ),
    "a base prediction changed": (lambda folder: forge_tables(folder, samples=repredicted), "row 3, whose base is"),
    "a row doubled": (lambda folder: forge_tables(folder, doubled), "two edits of one sample"),
    "a row left out": (lambda folder: forge_tables(folder, lambda edits: edits.iloc[1:]), "1 edits are missing"),
    "rows swapped": (lambda folder: forge_tables(folder, swapped), "not those that the protocol draws, in its order"),
    "an image left out": (
        lambda folder: forge_record(folder, lambda data: data["data"].update(locality_images=11)),
        "data.locality_images is not what the run's key was made of",
    ),
    "a setting of the run changed": (forge_key, "is not of the run in record.json"),
    "a key of another run": (
        lambda folder: forge_record(folder, lambda data: data.update(key="0" * 64)),
        "different keys",
    ),
    "a source swapped": (swap_source, "steps is not the source that was run"),
    "the editor's file swapped": (lambda folder: swap_source(folder, "mine.py"), "mine is not the source that was run"),
    "a source left out": (take_out_source, "steps is not submitted"),
    "two records of one run": (add_record, "are two records of one run"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_without_a_run(name: str, submission: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge, message = FORGERIES[name]
    forge(submission)
    line = refused(capsys, verify.main, str(submission), *ON_NOISE)
    assert re.search(message, line), line
    assert not (submission / "verification.json").exists()
