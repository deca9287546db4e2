"""The rule for what stands in the main table: whole runs of committed code in full precision."""

from __future__ import annotations

from leaderboard.records.record import Record
from leaderboard.records.sections import FLOAT32


def off_main_table(record: Record) -> str:
    """The reason why a record does not stand in the main table, in words; empty if it does.

    Runs beside it may be read and compared, but are no result of the whole benchmark, or none that others can make
    again.
    """
    protocol, environment, n_samples = record.protocol, record.environment, record.data.editing_samples
    if protocol.limit is not None:
        return f"it edited {record.outcomes.edits:,} of {n_samples:,} samples (--limit {protocol.limit})"
    if protocol.edited_groups is not None:
        return f"it edited samples of {len(protocol.edited_groups):,} of {record.data.groups:,} groups (--groups)"
    if record.outcomes.edits != n_samples:
        return f"it edited {record.outcomes.edits:,} of {n_samples:,} samples"
    if environment.commit is None:
        return "it ran outside of a checkout, so that nobody knows the code that judged it"
    if environment.dirty is not False:
        return f"files of this project differed from commit {environment.commit[:12]} (a dirty tree)"
    if protocol.in_process is not False:
        return "its editor worked in the judge's own process (--in-process)"
    precision = record.comparable_key().precision
    if precision != FLOAT32:
        return f"its precision is {precision}, not {FLOAT32}"
    return ""
