"""A run against the benchmark: its images, its edits and its scores, all of them made again but for the edits."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd

from benchmark.core.devices import pick
from benchmark.core.errors import UserError
from benchmark.core.text import printable
from benchmark.data import dataset
from benchmark.data.packaged import EMBEDDED
from benchmark.models.load import load_base
from benchmark.models.names import EMBEDDED as EMBEDDED_BASES
from leaderboard.judging.judge import NOISE, Judge
from leaderboard.judging.run_spec import base_section, data_section
from leaderboard.judging.sampling import Settings, chosen_samples, with_partners
from leaderboard.records import outcomes
from leaderboard.records.record import Record
from leaderboard.records.runs import check_probe
from leaderboard.records.sections import Section
from leaderboard.scores import metrics
from leaderboard.scores.summary import outcome_section, score_sections
from leaderboard.submissions.submission import SubmittedRun

ON_THE_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*@[0-9a-f]{40}")
BASE_NAME = re.compile(r"\w[\w.-]*")
MOST = 1 << 16  # edits or images of a batch
ROUNDING = 1e-9  # of a score that is computed again, elsewhere


def judge_of(record: Record, base: str | None = None, data: str | None = None) -> Judge:
    """The judge of a record's base and benchmark, or of those that are named, on the record's device if it is here.

    No path of the record is opened. Raises `UserError` where it names a base or benchmark by one, and for other ones
    than it was made on.
    """
    for name in ("edit_batch", "score_batch", "samples_per_edit"):
        if not 1 <= (value := getattr(record.protocol, name)) <= MOST:
            raise UserError(f"the record's {name} is {value}, and no run has that")
    source = record.data.source or record.data.name
    if data is None and source not in EMBEDDED and not _is_name(source, ON_THE_HUB):
        raise UserError(
            f"the record's benchmark is {printable(source)[:100]}, a place elsewhere; name yours with --data"
        )
    if base is None and record.base.name not in EMBEDDED_BASES and not _is_name(record.base.name, BASE_NAME):
        raise UserError(
            f"the record's base is {printable(record.base.name)[:100]}, a place elsewhere; name yours with --base"
        )
    try:
        device = pick(record.protocol.device)
    except UserError:
        device = pick("cpu")
    benchmark = dataset.load(data or source)
    if benchmark.fingerprint != record.data.fingerprint:
        raise UserError(f"{data or source} has other images or labels than {printable(record.data.name)} of the record")
    judge = Judge(load_base(base or record.base.name, device=device), benchmark, record.protocol.score_batch)
    if judge.base.identity != record.base.identity:
        raise UserError(f"{base or record.base.name} is not the base of the record: it has another identity")
    return judge


def _is_name(text: str, pattern: re.Pattern[str]) -> bool:
    """Return whether a record's text is the name of something, and of no file or folder here, which would go first."""
    return pattern.fullmatch(text) is not None and not Path(text).exists()


def check_run(run: SubmittedRun, judge: Judge) -> None:
    """Raise `UserError` for the first thing in a run that the benchmark and its own outcomes do not bear out."""
    record = run.record
    _check_sections(run)
    _compare(run, "base", record.base, base_section(judge), {"name", "loading", "probe", "identity"})
    _compare(run, "data", record.data, data_section(judge), {"source"})
    check_probe(judge.base.probe(), record, f"{run.folder}")
    _check_samples(run, outcomes.sample_table(judge.benchmark, judge.base_edit, judge.base_locality))
    _check_edits(run, judge)
    _check_scores(run)


def _check_sections(run: SubmittedRun) -> None:
    record = run.record
    if record.noise_floor.flips > NOISE * record.noise_floor.images:
        raise UserError(f"{run.folder}: a noise floor of {record.noise_floor.flips} flips, more than a run may have")


def _compare(run: SubmittedRun, name: str, recorded: Section, actual: Section, left_out: set[str]) -> None:
    for field, value in actual.model_dump(exclude=left_out).items():
        if (claimed := getattr(recorded, field)) != value:
            raise UserError(f"{run.folder}: {name}.{field} is {claimed} in the record, and {value} by the benchmark")


def _check_samples(run: SubmittedRun, expected: pd.DataFrame) -> None:
    """Raise `UserError` unless the sample table is the benchmark's own, row by row."""
    samples = run.outcomes.samples
    if len(samples) != len(expected):
        raise UserError(f"{run.folder}: samples.parquet has {len(samples):,} rows, and the benchmark {len(expected):,}")
    for column in expected.columns:
        actual, own = (table[column].astype(object).where(table[column].notna(), None) for table in (samples, expected))
        differs = [left != right for left, right in zip(actual, own, strict=True)]
        if any(differs):
            row = differs.index(True)
            raise UserError(
                f"{run.folder}: {sum(differs):,} rows of samples.parquet are not the benchmark's: the first is row "
                f"{row}, whose {column} is {printable(actual[row])[:60]} there and {printable(own[row])[:60]} here"
            )


def _check_edits(run: SubmittedRun, judge: Judge) -> None:
    """Raise `UserError` unless each sample that the protocol chooses was edited once, in its order."""
    protocol, edits = run.record.protocol, run.outcomes.edits
    settings = Settings(
        protocol.seed,
        protocol.limit,
        tuple(protocol.edited_groups or ()),
        samples_per_edit=protocol.samples_per_edit,
    )
    rows = with_partners(judge.benchmark, chosen_samples(judge.benchmark, settings), settings).tolist()
    edited = [[sample, *partners] for sample, partners in zip(edits["sample"], edits["partners"], strict=True)]
    if edited == rows:
        return
    missing = sorted({row[0] for row in rows} - {row[0] for row in edited})
    if missing:
        raise UserError(f"{run.folder}: {len(missing):,} edits are missing; the first is that of sample {missing[0]}")
    if len(edited) != len(rows):
        raise UserError(f"{run.folder}: {len(edited):,} edits, and the protocol asks for {len(rows):,}")
    raise UserError(f"{run.folder}: the edits are not those that the protocol draws, in its order")


def _check_scores(run: SubmittedRun) -> None:
    """Raise `UserError` for counts, times or scores that are not those of the outcomes."""
    record, edits = run.record, run.outcomes.edits
    scores = score_sections(metrics.compute_hits(run.outcomes))
    _compare(run, "outcomes", record.outcomes, outcome_section(run.outcomes), set())
    medians = {"median_edit_seconds": "seconds", "median_score_seconds": "score_seconds"}
    for name, column in medians.items():
        if not _is_near(getattr(record.costs, name), float(edits[column].median())):
            raise UserError(f"{run.folder}: costs.{name} is not the median of {column} in its outcomes")
    for name in [*scores, *record.scores]:
        if name not in scores or name not in record.scores:
            raise UserError(f"{run.folder}: the score {name} stands {'not ' * (name in scores)}in the record alone")
        for end in ("value", "low", "high"):
            claimed, own = getattr(record.scores[name], end), getattr(scores[name], end)
            if not _is_near(claimed, own):
                words = {"value": "", "low": "the lower end of ", "high": "the upper end of "}[end]
                raise UserError(f"{run.folder}: {words}{name} is {claimed} in the record, and {own} by its outcomes")


def _is_near(claimed: float | None, own: float | None) -> bool:
    if claimed is None or own is None:
        return claimed is own
    return math.isclose(claimed, own, rel_tol=ROUNDING, abs_tol=ROUNDING)
