"""The speed of `mad.mining.competition` on random predictions, checked against a plain loop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from benchmark.core.devices import device_name, load_average, peak_memory_bytes
from mad.measures.memory import to_gib

if TYPE_CHECKING:
    from mad.mining.competition import SearchConfig

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


def draw_predictions(count: int, seed: int = 0) -> pd.DataFrame:
    """Predictions of two models at random, as `mad.mining.competition` takes them."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {"image": pd.Series(np.arange(count)).astype(str) + ".jpg"}
    for role in ("base", "strong"):
        columns[f"{role}_index"] = random.integers(0, 1000, count)
        columns[f"{role}_probability"] = random.random(count, dtype=np.float32)
    return pd.DataFrame(columns)


def rank_plainly(predictions: pd.DataFrame, config: SearchConfig) -> list[str]:
    """The images of `mad.mining.competition.rank`, by a loop over rows and a sort."""
    from mad.mining import wordnet

    distances = wordnet.compute_distances(config.distance, config.over)
    rows = []
    for position, row in enumerate(predictions.itertuples(index=False)):
        certainty = min(row.base_probability, row.strong_probability)
        if row.base_index != row.strong_index and certainty >= config.min_probability:
            rows.append((-distances[row.strong_index, row.base_index], -certainty, position, row.image))
    return [image for *_, image in sorted(rows)]


def measure_competition(pairs: int) -> CompetitionSpeed:
    """Rank, filter and group `pairs` predictions. Raises `AssertionError` if the plain loop ranks otherwise."""
    from mad.mining import wordnet
    from mad.mining.competition import SearchConfig, compete, select_diverse

    config = SearchConfig(min_probability=0.1)
    wordnet.compute_distances(config.distance, config.over)  # 4 s of start-up, whatever the pool
    sample = draw_predictions(CHECKED, seed=1)
    assert compete(sample, config).ranking["image"].tolist() == rank_plainly(sample, config), (
        "the plain loop ranks otherwise"
    )
    predictions = draw_predictions(pairs)
    start = time.perf_counter()
    result = compete(predictions, config)
    head = select_diverse(result.ranking)
    seconds = time.perf_counter() - start
    return CompetitionSpeed(
        device_name(torch.device("cpu")), load_average(), pairs, result.disagreements,
        len(result.groups), len(head), seconds, to_gib(peak_memory_bytes()),
    )  # fmt: skip
