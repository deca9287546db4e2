"""The outcome of a verification, `verification.json`: bound to its record by a hash, beside which it lies."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from benchmark.core.devices import device_name
from benchmark.core.files import sha256, write_text
from benchmark.core.readers import Unreadable, read_json
from leaderboard.judging.judge import Judge
from leaderboard.records import environment
from leaderboard.records.record import Record
from leaderboard.records.sections import Count, Section, first_problem
from leaderboard.submissions.layout import RECORD, VERIFICATION

SCHEMA_VERSION: Literal[1] = 1
CLAIMED, RECOMPUTED, RERUN = "claimed", "recomputed", "re-run"  # levels, from the least
BY_EDITOR = "judged by the editor"
FIX = "verify that run again, or take the file away"


class Rerun(Section):
    """Edits that were made again."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Of all edits of the run, as asked for."""
    seed: int
    """Seed of the draw."""
    samples: list[str]
    """SHA-256 of the samples that were edited again, in the order in which they were."""
    predictions: Count
    """Predictions that were compared."""
    differing: Count
    """Those that differ, each within the noise floor of its outcome."""
    shut_in: bool
    """Whether the editor's process had no network, no home and no data folder; False with --trust-code."""


class Verification(Section):
    """The level of a run, with the code and the machine that verified it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Of this file."""
    record_sha256: str
    """SHA-256 of the record's file."""
    level: Literal["recomputed", "re-run"]
    """recomputed: files, samples and scores are as they must be; re-run: edits were made again, and are the same."""
    created: str
    """Time, in UTC."""
    commit: str | None
    """Commit of the checkout that verified; None where it is none."""
    dirty: bool | None
    """True if a tracked file differed from that commit."""
    versions: dict[str, str]
    """Releases of Python and of the libraries."""
    device: str
    """The kind of device: cpu, cuda or mps."""
    device_name: str
    """The processor, in words."""
    rerun: Rerun | None
    """Edits that were made again; None where none were."""


def write_verification(run: Path, judge: Judge, rerun: Rerun | None) -> None:
    """Write beside the record in the folder `run` what was verified of it."""
    commit, dirty = environment.commit()
    verification = Verification(
        record_sha256=sha256(run / RECORD),
        level="re-run" if rerun else "recomputed",
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        commit=commit,
        dirty=dirty,
        versions=environment.versions(),
        device=judge.base.device.type,
        device_name=device_name(judge.base.device),
        rerun=rerun,
    )
    write_text(run / VERIFICATION, verification.model_dump_json(indent=2) + "\n")


def read_verification(run: Path) -> Verification | None:
    """The verification of the record in the folder `run`; None where there is none, or it is of another record.

    Raises `Unreadable` for a file that is none.
    """
    path = run / VERIFICATION
    if not path.is_file():
        return None
    try:
        verification = Verification.model_validate(read_json(path, fix=FIX))
    except ValidationError as error:
        raise Unreadable(path, f"is no verification of this version: {first_problem(error)}", FIX) from error
    return verification if verification.record_sha256 == sha256(run / RECORD) else None


def level_of(run: Path, record: Record) -> str:
    """The level of the record in the folder `run`, in words: claimed, recomputed or re-run, and whether the editor
    itself judged edits.

    Raises `Unreadable` as `read_verification` does.
    """
    verification = read_verification(run)
    level = verification.level if verification else CLAIMED
    return f"{level}, {BY_EDITOR}" if record.outcomes.judged_by_editor else level
