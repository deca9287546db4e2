"""Measure the speed and the memory of mining, beside plain code.

Three figures, each measured in a process of its own, because memory is counted from a process's start:

- `competition`: ranking, filtering, thinning and grouping ten million random predictions, checked against a
  plain loop on fewer;
- `predict`: images a second from JPEG files to the predictions of two models, ours against a plain timm loop
  (`timm.data.ImageDataset`, the same preprocessing, a `DataLoader` with two workers, one model after the other,
  same batch size and precision), checked to predict the same;
- `memory`: how far predicting 200,000 tiny images and mining them raises the peak above start-up.
"""

from __future__ import annotations

import subprocess
import sys

from benchmark.core import options
from benchmark.core.cli import Command, run
from benchmark.core.devices import pick
from benchmark.core.errors import UserError
from benchmark.core.timing import write_json
from mad.measures.competition import measure_competition
from mad.measures.memory import measure_memory
from mad.measures.prediction import measure_prediction

PAIRS, PAIRS_QUICK = 10_000_000, 300_000
TINY, TINY_QUICK = 200_000, 20_000
PHOTOS, PHOTOS_QUICK = 64, 32


def bench_competition(quick: options.Quick = False, json: options.Json = None) -> None:
    """Rank, filter, thin and group ten million random predictions; with --quick, 300,000."""
    speed = measure_competition(PAIRS_QUICK if quick else PAIRS)
    print(
        f"competition: {speed.pairs:,} predictions ranked, filtered, thinned and grouped ({speed.groups:,} groups) in "
        f"{speed.seconds:.1f} s, peak memory {speed.peak_gib:.2f} GiB; load {speed.load:.1f}, {speed.device}"
    )
    write_json(json, "mine-competition", speed)


def bench_predict(
    base: options.Base = "mini",
    limit: options.Limit = None,
    quick: options.Quick = False,
    device: options.Device = "auto",
    json: options.Json = None,
) -> None:
    """Compare predicting large JPEGs with a plain timm loop, after a check that both predict the same.

    The models are mini and mini-strong as shipped, or for --base vitb16 this and clip-vitb16 with random weights. They
    predict 64 JPEG files of 2000 x 1500 pixels, with --quick 32, or --limit of them.
    """
    images = limit or (PHOTOS_QUICK if quick else PHOTOS)
    speed = measure_prediction(base, images, 1 if quick else 3, device)
    ours, plain, drafted = (images / timing.median for timing in (speed.ours, speed.plain, speed.draft))
    print(
        f"predict: {' and '.join(speed.models)} over {images} JPEGs of {speed.size[0]} x {speed.size[1]}, float32: "
        f"ours {ours:.1f} images/s, a plain timm loop {plain:.1f}; {speed.ratio:.2f}x\n"
        f"  the same labels, probabilities at most {speed.apart:.0e} apart; with --draft {drafted:.1f} images/s, "
        f"{speed.changed} of {2 * images} labels change; load {speed.load:.1f}, {speed.device}"
    )
    write_json(json, f"mine-predict-{base}-{pick(device).type}", speed)


def bench_memory(quick: options.Quick = False, json: options.Json = None) -> None:
    """Predict and mine 200,000 tiny images, with --quick 20,000, and measure how far memory rises above start-up."""
    memory = measure_memory(TINY_QUICK if quick else TINY)
    print(
        f"memory: {memory.images:,} tiny images predicted and mined in {memory.seconds:.0f} s; start-up "
        f"{memory.start_gib:.2f} GiB, peak {memory.peak_gib - memory.start_gib:.2f} GiB above; load {memory.load:.1f}"
    )
    write_json(json, "mine-memory", memory)


def bench_all(quick: options.Quick = False, json: options.Json = None) -> None:
    """Measure all figures, one after the other, each in a process of its own. Nothing else should be running.

    With --quick, vitb16 is left out.
    """
    shared = [*(["--quick"] if quick else []), *(["--json", str(json)] if json is not None else [])]
    figures = [["competition"], ["predict"], ["memory"]]
    if not quick:
        figures.append(["predict", "--base", "vitb16", "--limit", "32"])
    for words in ([*figure, *shared] for figure in figures):
        if subprocess.run([sys.executable, "-m", "mad.bench", *words]).returncode:
            raise UserError(f"python -m mad.bench {' '.join(words)} failed")


main: dict[str, Command] = {
    "all": bench_all,
    "competition": bench_competition,
    "predict": bench_predict,
    "memory": bench_memory,
}

if __name__ == "__main__":
    run(main, about="Measure how fast images are mined, and in how much memory.")
