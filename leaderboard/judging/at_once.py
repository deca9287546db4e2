"""The number of edits that a run judges at once: measured on its device when it begins, and kept for its resumes.

Several edits at once share the products with all weights that they leave alone, and a call of the device a layer. That
pays where a call costs more than its arithmetic: a small base and a GPU. Predictions are equal up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.core.timing import interleaved
from benchmark.models.vit import ffn_matrices
from editors.core.edit import Edit, WeightEdit
from leaderboard.judging.judge import Judge

MOST = 8  # edits that are judged at once
GAIN = 1.1  # times faster that this must be
TURNS = 3  # in each of which it must be so
LONGEST = 0.05  # seconds that one edit may take: it fills the device if it takes longer
FULL = frozenset({"cpu"})  # kinds of device that one edit fills: 8 at once were 0.75 to 1.05 times as fast


def measure_gain(judge: Judge, edits: int) -> float | None:
    """Times faster that the judge is with so many edits at once; None where nothing was measured, since one fills it.

    Measured with copies of the matrices that editors change, on a group and D_l; the least of all turns, and the first
    turn that is below `GAIN` is the last.
    """
    model, group = judge.base.module, judge.benchmark.groups[0]
    if edits == 1 or judge.two_pass or judge.base.device.type in FULL:
        return None
    null = WeightEdit({name: model.get_parameter(name).detach().clone() for name in ffn_matrices(model)})
    if time_at_once(judge, [null], group)[0] > LONGEST:
        return None
    time_at_once(judge, [null] * edits, group)  # the first call pays for kernels
    gain = math.inf
    for _ in range(TURNS):
        one_by_one, at_once = time_at_once(judge, [null] * edits, group)
        gain = min(gain, one_by_one / at_once)
        if gain < GAIN:
            break
    return gain


def time_at_once(judge: Judge, edits: Sequence[Edit], group_id: str, turns: int = 1) -> tuple[float, float]:
    """Median seconds in which edits that are alike are judged one by one, and at once."""
    timing = interleaved(
        {
            "one by one": lambda: [judge.predict(edit, group_id) for edit in edits],
            "at once": lambda: judge.predict_many(edits, group_id),
        },
        turns,
        judge.base.device,
    )
    return timing["one by one"].median, timing["at once"].median
