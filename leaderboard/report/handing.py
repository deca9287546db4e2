"""The submissions of a report: the runs of each editor under equal conditions, ready for `leaderboard.verify`."""

from __future__ import annotations

import shutil
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.core.files import walk
from leaderboard.analyses.paper import Run
from leaderboard.judging.run_spec import slug
from leaderboard.records.record import read
from leaderboard.records.samples import find_samples
from leaderboard.report.content import SubmissionLine
from leaderboard.scores.tables import shared
from leaderboard.submissions.card import CARD
from leaderboard.submissions.layout import LIMIT, RECORD
from leaderboard.submissions.packing import pack, sources_of
from leaderboard.submissions.submission import RESULTS, read_submission

SUBMISSIONS = "submissions"
ROOM = LIMIT - (1 << 20)  # bytes of runs in one submission; the rest is for notes and sources
HANDED_IN = "these runs are among the project's results already"


def write_submissions(runs: Sequence[Run], folder: Path, earlier: Path) -> list[SubmissionLine]:
    """Write a submission of the runs of each editor, settings' files and conditions in ``submissions`` below `folder`.

    Runs that are too large for one are shared among several. Cards in the report `earlier` are kept.
    """
    committed = {read(Path(entry.path)).key for entry in walk(RESULTS) if entry.name == RECORD}
    alike: dict[Hashable, list[Run]] = {}
    for path, record in runs:
        files = tuple(sorted((record.editor.files or {}).items()))
        key = record.comparable_key(), record.editor.name, files, record.key in committed
        alike.setdefault(key, []).append((path, record))
    lines: list[SubmissionLine] = []
    for same in tqdm(alike.values(), desc="submissions", unit="submission", leave=False):
        for part in split_by_size(same):
            record = part[0][1]
            number = 1 + sum(line.editor == record.editor.name for line in lines)
            name = slug(record.editor.name) + f"-{number}" * (number > 1)
            problem, left_out = (
                (HANDED_IN, [])
                if record.key in committed
                else _write(part, folder / SUBMISSIONS / name, earlier / SUBMISSIONS / name)
            )
            is_there = (folder / SUBMISSIONS / name).is_dir()
            lines.append(
                SubmissionLine(
                    record.editor.name,
                    tuple(each.editor.spec for _, each in part),
                    shared(record),
                    f"{SUBMISSIONS}/{name}" if is_there else "",
                    problem,
                    tuple(left_out),
                )
            )
    return lines


def _write(runs: Sequence[Run], folder: Path, earlier: Path) -> tuple[str, list[str]]:
    """Pack runs, and read the submission as `leaderboard.verify` does; what it refuses, and the files left out."""
    left_out: list[str] = []
    try:
        if (earlier / CARD).is_file():
            folder.mkdir(parents=True)
            shutil.copyfile(earlier / CARD, folder / CARD)
        left_out = pack([path.parent for path, _ in runs], sources_of(runs[0][1].editor.spec), folder)
        read_submission(folder)
    except UserError as error:
        return str(error).replace(f"{folder.parent}/", f"{SUBMISSIONS}/"), left_out
    return "", left_out


def split_by_size(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """The runs in as few parts, in their order, as fit into a submission each."""
    part: list[Run] = []
    total = 0
    for path, record in runs:
        files = {*path.parent.glob("*.json"), *path.parent.glob("*.parquet"), find_samples(path.parent)}
        size = sum(file.stat().st_size for file in files if file.is_file())
        if part and total + size > ROOM:
            yield part
            part, total = [], 0
        part.append((path, record))
        total += size
    yield part
