"""Repeat the paper: fetch, build, train, edit, judge, and a report of its figures and claims.

python -m leaderboard.paper --plan                              # steps, hours and disk; nothing is done
python -m leaderboard.paper --scale row --out out/row           # the first thing to run on real weights
python -m leaderboard.paper --out out/paper                     # everything
python -m leaderboard.paper --base mini --data mini --out out/report
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.core.devices import pick
from benchmark.core.terminal import show_table
from benchmark.core.text import duration
from benchmark.core.workdir import holds, working
from leaderboard.analyses.paper import Sources
from leaderboard.chain.calibration import Speeds
from leaderboard.chain.committed import Committed
from leaderboard.chain.estimate import Estimate
from leaderboard.chain.plan import ANALYSES, REPORT, RUNS, TRAINED, Plan, make_plan
from leaderboard.chain.remarks import describe_data
from leaderboard.chain.walk import CHAIN, COMMITTED, TO_DO, Line, check_disk, gigabytes, list_steps, walk
from leaderboard.chain.wishes import DATA, Scale, Wishes
from leaderboard.report.folder import StepLine, write_report


def main(
    out: options.OptionalOut = None,
    base: options.OptionalBase = None,
    data: options.OptionalData = None,
    scale: Scale = "full",
    plan: bool = False,
    until: str | None = None,
    only: tuple[str, ...] = (),
    from_folder: options.FromFolder = None,
    from_scratch: bool = False,
    allow_partial: options.AllowPartial = False,
    yes: options.Yes = False,
    engine: options.Engine = "local",
    device: options.Device = "auto",
) -> None:
    """Repeat the paper, from its archives to a report of its figures, tables and claims.

    First the plan is printed: the steps, what is done already, disk, and hours by a minute's calibration on this
    device. Stop it when you like: the same command goes on. Without --data the benchmark is fetched and built, without
    --base both of the paper's are edited. --data mini --base mini makes the report of the embedded benchmark from the
    records that come with the project, and what they lack. OUT/report is the folder to hand on; without --out
    it is out/paper, with the scale or the mini behind it. docs/paper.md says what all of it takes.

    Args:
        scale: Full; small: a fifth of the editing samples, one base; row: one editor on 20 samples of one group.
        plan: Print the plan, and stop.
        until: Last step, by its name in the plan; report is the last of all.
        only: Figures and tables to make, as leaderboard.figures names them (figure-4, table-A), and what they need.
        from_scratch: Make again also what comes with the project: the mini's records and networks.
    """
    parts = [data and Path(data).name, scale if scale != "full" else None]
    out = out or Path("out", "-".join(["paper", *filter(None, parts)]))
    kind = pick(device).type
    wishes = Wishes(out, base, data, scale, from_folder, from_scratch, allow_partial, engine, kind, yes)
    chain, committed = make_plan(wishes, until, only), Committed(wishes)
    holds(out, CHAIN, wishes.note)
    lines = list_steps(chain, committed, Estimate(chain, Speeds(wishes.device)))
    show_plan(lines)
    if plan:
        return
    with working(out, CHAIN, wishes.note):
        check_disk(lines, out)
        walk(lines, chain, lambda text: print(text, flush=True))
        if scale == "row" or until not in (None, REPORT):
            return
        folders = [place for place in (out / RUNS, out / ANALYSES, out / TRAINED) if place.is_dir()]
        sources = Sources.below([*folders, *committed.folders])
        notes = describe_data(out / DATA)
        report = write_report(sources, out / REPORT, step_lines(lines, chain), notes, only)
        print(report.summary)
        print(f"open {report.page}")


def show_plan(lines: Sequence[Line]) -> None:
    """Print the steps with their states and times, and the sums."""
    rows = [(line.step.name, line.state, duration(line.seconds), line.step.row.does) for line in lines]
    show_table(("step", "state", "time", "what"), rows, drop=("what",), n_text=4)
    to_do = [line for line in lines if line.state == TO_DO]
    hours = duration(sum(line.seconds or 0 for line in to_do))
    unknown = sum(line.seconds is None for line in to_do)
    beside = f", beside {unknown} whose time is not known before" if unknown else ""
    print(
        f"to do: {len(to_do)} of {len(lines)} steps, {hours} (rough){beside}; at most {gigabytes(lines):.0f} GB of disk"
    )


def step_lines(lines: Sequence[Line], chain: Plan) -> list[StepLine]:
    """The steps as the report tells them, once they are made."""
    return [
        StepLine(
            line.step.name,
            line.step.row.does,
            line.state if line.state == COMMITTED else "done",
            tuple(chain.shown(line.step)),
            done.seconds if (done := chain.done(line.step)) else None,
        )
        for line in lines
    ]


if __name__ == "__main__":
    run(main)
