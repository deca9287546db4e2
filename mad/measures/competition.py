"""The speed of `mad.mining.competition` on random predictions, checked against a plain loop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from benchmark.core.devices import device_name, load_average, peak_memory_bytes
from mad.measures.memory import in_gib

if TYPE_CHECKING:
    from mad.mining.competition import Rules

CHECKED = 20_000  # predictions that the plain loop ranks


@dataclass(frozen=True)
class CompetitionSpeed:
    """`pairs` predictions in `seconds`; `groups` of them; `peak_gib` of the whole process, the predictions included."""

    device: str
    load: float
    pairs: int
    disagreements: int
    groups: int
    diverse: int
    seconds: float
    peak_gib: float


def random_predictions(count: int, seed: int = 0) -> pd.DataFrame:
    """Predictions of two models at random, as `mad.mining.competition` takes them."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {"image": pd.Series(np.arange(count)).astype(str) + ".jpg"}
    for who in ("base", "strong"):
        columns[f"{who}_index"] = random.integers(0, 1000, count)
        columns[f"{who}_probability"] = random.random(count, dtype=np.float32)
    return pd.DataFrame(columns)


def plain_order(predictions: pd.DataFrame, rules: Rules) -> list[str]:
    """The images of `mad.mining.competition.rank`, by a loop over rows and a sort."""
    from mad.mining import wordnet

    distances = wordnet.distances(rules.distance, rules.over)
    kept = []
    for position, row in enumerate(predictions.itertuples(index=False)):
        certainty = min(row.base_probability, row.strong_probability)
        if row.base_index != row.strong_index and certainty >= rules.min_probability:
            kept.append((-distances[row.strong_index, row.base_index], -certainty, position, row.image))
    return [image for *_, image in sorted(kept)]


def measure_competition(pairs: int) -> CompetitionSpeed:
    """Rank, filter and group `pairs` predictions. Raises `AssertionError` if the plain loop ranks otherwise."""
    from mad.mining import wordnet
    from mad.mining.competition import Rules, compete, diverse

    rules = Rules(min_probability=0.1)
    wordnet.distances(rules.distance, rules.over)  # 4 s of start-up, whatever the pool
    few = random_predictions(CHECKED, seed=1)
    assert compete(few, rules).ranking["image"].tolist() == plain_order(few, rules), "the plain loop ranks otherwise"
    predictions = random_predictions(pairs)
    start = time.perf_counter()
    found = compete(predictions, rules)
    head = diverse(found.ranking)
    seconds = time.perf_counter() - start
    return CompetitionSpeed(
        device_name(torch.device("cpu")), load_average(), pairs, found.disagreements,
        len(found.groups), len(head), seconds, in_gib(peak_memory_bytes()),
    )  # fmt: skip
