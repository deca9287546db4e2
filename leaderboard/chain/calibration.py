"""The speed of this device: a minute of edits, judging and meta-training with random weights and images."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.core.devices import device_name, pick
from benchmark.core.files import cache_folder, write_text
from benchmark.core.readers import Unreadable, read_json
from benchmark.core.timing import interleaved
from benchmark.models.load import noise_images, random_base
from benchmark.models.vit import Model, edits_at_once
from benchmark.predict.benchmark import SCORE_BATCH
from editors.core.flops import forward_flops
from editors.core.registry import choose
from editors.measures.editing import LR, FixedSteps, failures
from editors.measures.metatraining import RECIPE, Case, lively_base, time_fit
from leaderboard.judging.judge import Judge
from leaderboard.measures.scoring import GROUP_ID, noise_benchmark, preprocessed, random_edit

PLAIN = "ft"  # the editor whose costs those of others are compared with
STEPS = 3  # of the timed edits
REPEATS = 5
LONG = 2.0  # seconds of a piece of work that is timed once
CPU_FLOPS = 3e11  # of a piece of work on a CPU: some seconds
A_DAY = 86_400.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speed:
    """Seconds of a base's pieces of work on a device.

    step: of plain fine-tuning, a step of one edit among as many as are made at once.
    judging: of one image that an edit is judged on.
    target: of one target of the hypernetwork's training.
    batch: of one batch of its fit.
    """

    base: str
    device: str
    step: float
    judging: float
    target: float
    batch: float


class Speeds(dict[str, Speed]):
    """The speeds of bases on a device by alias, each measured when it is first asked for."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def __missing__(self, base_name: str) -> Speed:
        self[base_name] = calibrate(base_name, self._device)
        return self[base_name]


def calibrate(base_name: str, device: str) -> Speed:
    """The speed of a base on a device; what was measured today on this machine is not measured again."""
    torch_device = pick(device)
    kind = device_name(torch_device)
    cache = cache_folder() / "speed" / f"{base_name}-{hashlib.sha256(kind.encode()).hexdigest()[:12]}.json"
    if (kept := _kept(cache)) is not None:
        return kept
    log.info("%s on %s: a minute's calibration", base_name, kind)
    speed = _measure(base_name, torch_device)
    write_text(cache, json.dumps(dataclasses.asdict(speed), indent=2) + "\n")
    return speed


def _kept(cache: Path) -> Speed | None:
    """The speed that was kept today; None for an older one, and for a file that holds none."""
    try:
        if time.time() - cache.stat().st_mtime > A_DAY:
            return None
        speed = Speed(**read_json(cache))
        seconds = (speed.step, speed.judging, speed.target, speed.batch)
        return speed if all(math.isfinite(each) and each > 0 for each in seconds) else None
    except (OSError, Unreadable, TypeError):
        return None


def _measure(base_name: str, device: torch.device) -> Speed:
    base, lively = random_base(base_name, device=device.type), lively_base(base_name, device=device.type)
    model: Model = base.module
    most = 10**9 if device.type != "cpu" else int(CPU_FLOPS / forward_flops(model))
    count = max(1, min(edits_at_once(model, device), most // (4 * STEPS)))
    images, labels = failures(model, count)
    plain = dataclasses.replace(choose(PLAIN, base_name).config, lr=LR, max_steps=STEPS)
    editor, edit, recipe = FixedSteps(plain), random_edit(model), RECIPE.but(outer_steps=2)
    pixels = noise_images(model, max(4, min(SCORE_BATCH, most)))
    judge = Judge(preprocessed(base), noise_benchmark(pixels, len(pixels) // 2))
    case = Case.random(lively, max(1, min(edits_at_once(model, device), most // 24)), recipe)

    seconds = {
        "step": _time(lambda: editor.edit_many(model, images[:, None], labels[:, None], [0] * count), device),
        "judging": _time(lambda: judge.predict(edit, GROUP_ID), device),
        "target": _time(case.ours, device),
    }
    return Speed(
        base_name,
        device_name(device),
        step=seconds["step"] / count / STEPS,
        judging=seconds["judging"] / len(pixels),
        target=seconds["target"] / len(case.clean) * RECIPE.outer_steps / recipe.outer_steps,
        batch=time_fit(lively, RECIPE, device),
    )


def _time(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of a piece of work, once kernels and prefixes are there: the median of a few, of a long one the only."""
    work()
    first = interleaved({"": work}, 1, device)[""].median
    return first if first > LONG else interleaved({"": work}, REPEATS, device)[""].median
