"""Verify a submission: files, samples, scores and, made again, a random part of its edits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Gt, Le

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.core.errors import UserError
from leaderboard.records.main_table import off_main_table
from leaderboard.submissions.checking import check_run, judge_of
from leaderboard.submissions.rerun import rerun as make_again
from leaderboard.submissions.submission import read_submission
from leaderboard.submissions.verification import level_of, write_verification


def main(
    folder: tyro.conf.Positional[Path],
    rerun: Annotated[float, Gt(0), Le(1)] | None = None,
    seed: options.Seed = 0,
    base: options.OptionalBase = None,
    data: options.OptionalData = None,
    trust_code: bool = False,
) -> None:
    """Verify a submission, and write verification.json beside each record in it: its level, bound to it by a hash.

    recomputed: files and hashes are as they must be, samples are the benchmark's own, none is missing or doubled, and
    the scores are those of the outcomes. re-run: a part of the edits, drawn with --seed, was made again by the
    submitted source, in a process without network, home and data, and judged here: the same, within the noise floor.

    Args:
        folder: Submission, as leaderboard.submit --as wrote it.
        rerun: Share of the edits to make again, such as 0.05; this runs the submitter's code.
        trust_code: Let that code run as yours does, where the system cannot shut it in; read it first.
    """
    if trust_code and rerun is None:
        raise UserError("--trust-code is for --rerun, and without it no code is run; leave it out")
    submission = read_submission(folder)
    print(f"{submission.card.method}: schema and hashes are as they must be ({submission.size / 1e6:.1f} MB)")
    judge = judge_of(submission.runs[0].record, base, data)
    for each in submission.runs:
        check_run(each, judge)
        print(
            f"{each.record.editor.spec}: {len(each.outcomes.edits):,} edits, none missing or doubled; samples are the "
            "benchmark's own, scores those of the outcomes"
        )
        again = None
        if rerun is not None:
            again = make_again(submission, each, judge, rerun, seed, trust_code)
            print(
                f"{len(again.samples):,} of {len(each.outcomes.edits):,} edits were made again: {again.differing:,} of "
                f"{again.predictions:,} predictions differ"
            )
        write_verification(each.folder, judge, again)
        reason = off_main_table(each.record)
        place = f"not in the main table: {reason}" if reason else "in the main table"
        print(f"level: {level_of(each.folder, each.record)}; {place}")


if __name__ == "__main__":
    run(main)
