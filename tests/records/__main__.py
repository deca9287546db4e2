"""python -m tests.records [--jobs N] [--out DIR]: make all records of leaderboard/results again, at one commit.

``runs.txt`` lists the runs, on a CPU, by `leaderboard.submit` on all editing samples of the mini, or by
`leaderboard.analyse ablation` on some. They are made in
DIR, out/records by default, several commands at a time, and the same call goes on where it was stopped. Once all are
there, made by the commit that is checked out and without a changed file, they take the place of the folders in
leaderboard/results that the list names; runs of others beside them stay, and samples are kept once for all.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import leaderboard
from leaderboard.judging.run_spec import slug
from leaderboard.records import environment, outcomes
from leaderboard.records.record import Record
from leaderboard.records.runs import find_newest

RUNS = Path(__file__).with_name("runs.txt")
RESULTS = Path(leaderboard.__file__).parent / "results"
KEPT = ("record.json", "run.json", "outcomes.parquet", "samples.parquet")  # of a run's folder


class Job(NamedTuple):
    """One call of a command: the folder of its results, and its words."""

    folder: str
    words: list[str]

    @property
    def command(self) -> str:
        """The command, by its first word."""
        return "leaderboard.analyse" if self.words[0] == "ablation" else "leaderboard.submit"

    @property
    def is_limited(self) -> bool:
        """True if it edits some samples only."""
        return "--limit" in self.words

    @property
    def missing(self) -> str:
        """The checkpoint that an editor's spec names and that is not there; empty if there is none such."""
        named = re.findall(r"checkpoint=([^,\s]+)", " ".join(self.words))
        return next((file for file in named if not Path(file).is_file()), "")


def read_jobs(path: Path = RUNS) -> list[Job]:
    """The jobs that a list names, a line each; lines that begin with # are remarks."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [Job(words[0], words[1:]) for words in lines if words and not words[0].startswith("#")]


def run(job: Job, out: Path) -> int:
    """Run one job, on one thread, with a log of its own; its exit code."""
    log = out / "logs" / f"{job.folder}-{slug(' '.join(job.words))}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", job.command, *job.words, "--device", "cpu", "--out", str(out / job.folder)]
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(words, stdout=file, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    state = "done" if done.returncode == 0 else f"failed, see {log}"
    print(f"{job.folder} {' '.join(job.words)}: {state}, {(time.monotonic() - start) / 60:.0f} min", flush=True)
    return done.returncode


def gather(folder: Path, commit: str, is_limited: bool = False) -> list[tuple[Path, Record]]:
    """The finished runs below a folder that this commit made, without a changed file, on all samples unless limited."""
    runs = [(path.parent, record) for path, record in find_newest([folder]) if record.environment.commit == commit]
    if changed := [
        str(path)
        for path, record in runs
        if record.environment.dirty or (record.protocol.limit is not None) != is_limited
    ]:
        raise SystemExit(
            f"{changed[0]}: made with changed files, or on some samples only; delete it and run this again"
        )
    return runs


def pack(runs: list[tuple[Path, Record]], target: Path) -> None:
    """Copy runs into `target`, each in a folder named by its editor; its samples go beside that, once for all."""
    for source, record in runs:
        folder = target / slug(record.editor.spec)
        folder.mkdir(parents=True)
        for name in KEPT:
            shutil.copyfile(source / name, folder / name)
        outcomes.share_samples(folder, target.parent)


def main() -> int:
    """Run what is missing, and put all in place; the exit code is 1 if a run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.records", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="commands at a time, one core each")
    parser.add_argument("--out", type=Path, default=Path("out/records"), help="where runs are made")
    options = parser.parse_args()
    commit, is_changed = environment.commit()
    if commit is None or is_changed:
        raise SystemExit("commit first: a record names its commit, and says whether files were changed")
    jobs = read_jobs()
    for job in jobs:
        if job.missing:
            print(f"{job.missing} is not there: its runs are left out")
    jobs = [job for job in jobs if not job.missing]
    with ThreadPoolExecutor(options.jobs) as pool:
        if any(pool.map(lambda job: run(job, options.out), jobs)):
            return 1
    packed = options.out / "packed"
    shutil.rmtree(packed, ignore_errors=True)
    folders = list(dict.fromkeys(job.folder for job in jobs))
    for folder in folders:
        is_limited = any(job.is_limited for job in jobs if job.folder == folder)
        pack(gather(options.out / folder, commit, is_limited), packed / folder)
    for name in (*folders, "samples"):
        shutil.rmtree(RESULTS / name, ignore_errors=True)
        shutil.copytree(packed / name, RESULTS / name)
    print(f"{RESULTS}: {sum(1 for _ in packed.rglob('record.json'))} records; python -m tests.records.docs is next")
    return 0


if __name__ == "__main__":
    sys.exit(main())
