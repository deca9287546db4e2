"""Measure the speed of judging an edit and the cost of the border, with equal predictions."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmark.core import options
from benchmark.core.cli import Command, run
from benchmark.core.devices import pick
from benchmark.core.errors import UserError
from benchmark.core.timing import write_json
from leaderboard.judging.at_once import GAIN, MOST
from leaderboard.measures.scoring import GROUP, MARGIN, SPARSITY, measure_scoring
from leaderboard.measures.speed_table import commands, markdown
from leaderboard.measures.two_pass import measure_two_pass


def score(
    base: options.Base = "vits16",
    device: options.Device = "auto",
    quick: options.Quick = False,
    limit: options.Limit = None,
    masked: bool = False,
    json: options.Json = None,
) -> None:
    """Compare judging one edit with plain code, with random weights and images.

    First the predictions (the same wherever the two highest logits are further apart than 1e-4), then the
    time, taken in turn in one process. Nothing else should be running. Without --limit, 2,196 images are judged
    as in the full benchmark, or on a CPU as many as take some seconds; with --quick, all takes under half a minute.

    Args:
        masked: Let the edit change 5 % of the units, as masks of sparsity 0.95 do, and not all.
    """
    scoring = measure_scoring(base, device, quick, limit, SPARSITY if masked else None)
    scoring.speed.show(f"judging one edit of {base} on {scoring.images:,} images, float32, {scoring.device}")
    print(
        f"same predictions: {scoring.flips} of {scoring.images:,} differ, and might where the margin is {MARGIN:.0e} "
        f"or less ({scoring.near}); the edit changes {scoring.changed:,}"
    )
    print(
        f"once, for base predictions and prefixes: {scoring.once_seconds:.3g} s, paid back after "
        f"{scoring.paid_back_after} edits; charged to one group's {GROUP} edits: {scoring.group_ratio:.1f}x"
    )
    print(f"left out of both: decoding, {scoring.decoded:,.0f} images/s")
    gain = scoring.long.median / scoring.speed.ours.median
    print(
        f"{MOST} edits at once, {scoring.at_once_images} images: {scoring.at_once:.2f}x as fast as one by one, with "
        f"the same predictions; on a GPU, a run judges so from {GAIN}x on"
    )
    print(f"the tail without its two shortcuts, from the same cached tokens: {gain:.2f}x our time")
    print(f"score: {scoring.speed.ratio:.1f}x")
    write_json(json, f"score-{base}{'-masked' if masked else ''}-{pick(device).type}", scoring)


def border(quick: options.Quick = False, json: options.Json = None) -> None:
    """Compare runs behind the border, the editor in a process of its own, with runs in process: ft on all of the mini.

    The outcomes are the same, or it stops. Five runs each in turn; with --quick, one each, of fewer edits. The
    processor's seconds, of both processes together, tell more than the clock's where other work is running.
    """
    from leaderboard.measures.border import measure_border  # records need pydantic

    cost = measure_border(24, 1) if quick else measure_border()
    for here, there in cost.cpu:
        print(f"{cost.edits} edits: {here:.2f} s of the processor in process, {there:.2f} s behind the border")
    print(f"same outcomes; by the clock: {cost.wall_ratio:.3f}x the seconds in process")
    print(f"border: {cost.cpu_ratio:.3f}x the seconds in process")
    write_json(json, "border", cost)


def two_pass(
    base: options.Base = "vits16",
    device: options.Device = "auto",
    limit: options.Limit = None,
    json: options.Json = None,
) -> None:
    """Compare scoring in two passes (submit --precision two-pass) with float32 alone, on masked edits.

    Prints how many images were scored again, how many verdicts differ, and the time of both on a GPU. On a CPU TF32 is
    imitated, and no time means anything. --limit is the number of images that an edit is judged on.
    """
    measured = measure_two_pass(base, device, limit)
    tally = measured.tally
    print(f"{measured.edits} edits of {base}, {measured.images:,} images each, {measured.device}")
    print(
        f"{measured.flips} verdicts differ; below a margin of {tally.bound:.2g} {tally.again / tally.images:.1%} were "
        f"scored again; {tally.checked} others were checked, of which {tally.disagreements} had changed"
    )
    if measured.times:
        plain, twice = measured.times
        print(f"float32: {plain.median:.3g} s an edit; two passes: {twice.median:.3g} s")
        print(f"two-pass: {plain.median / twice.median:.1f}x")
    write_json(json, f"two-pass-{base}-{pick(device).type}", measured)


def overhead(limit: options.Limit = None, device: options.Device = "auto", json: options.Json = None) -> None:
    """Measure what of a run goes neither into models nor into decoding: ft on all of the mini, imports aside.

    --limit edits only so many samples.
    """
    from leaderboard.measures.overhead import measure_overhead

    measured = measure_overhead(limit, pick(device))
    print(
        f"{measured.edits} edits in {measured.total:.3g} s: {measured.editing:.3g} s in the editor, "
        f"{measured.judging:.3g} s in the judge's forwards, {measured.decoding:.2g} s decoding"
    )
    print(f"overhead: {measured.share:.1%}")
    write_json(json, f"overhead-{pick(device).type}", measured)


def everything(device: options.Device = "auto", json: options.Json = None) -> None:
    """Run the commands behind docs/speed.md one after the other, each in a process of its own, and print its tables.

    Nothing else should be running. Some 40 minutes on two cores, and under eight on a GPU, where torch, timm, numpy,
    pandas and pyarrow suffice. Without --json, the numbers are only printed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = json or Path(scratch)
        for words in commands(device, folder):
            print(f"$ python -m {words}", flush=True)
            if code := subprocess.run([sys.executable, "-m", *words.split()], check=False).returncode:
                raise UserError(f"python -m {words} ended with exit code {code}; see above")
        print(markdown(folder), end="")


main: dict[str, Command] = {
    "": score, "border": border, "overhead": overhead, "two-pass": two_pass, "all": everything
}  # fmt: skip

if __name__ == "__main__":
    run(main)
