from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmark.core.errors import UserError
from mad.mining import competition
from mad.mining.competition import SearchConfig

NAMES = [f"c{i}" for i in range(1000)]


def draw_predictions(images: int, classes: int, seed: int = 0) -> pd.DataFrame:
    """Predictions with many ties: few classes, probabilities of one decimal place."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "image": [f"{i:05d}.png" for i in range(images)],
            "base_index": random.integers(0, classes, images),
            "base_probability": random.integers(1, 11, images) / 10,
            "strong_index": random.integers(0, classes, images),
            "strong_probability": random.integers(1, 11, images) / 10,
        }
    )


@pytest.fixture(scope="module")
def distances() -> np.ndarray:
    table = np.random.default_rng(1).integers(1, 6, (1000, 1000)).astype(np.float32)
    table = np.maximum(table, table.T)
    np.fill_diagonal(table, 0)
    return table


@pytest.fixture(scope="module")
def ranking(distances: np.ndarray) -> pd.DataFrame:
    return competition.rank(draw_predictions(3000, 25), distances)


# -- rank


def test_rank_equals_a_plain_sort(distances: np.ndarray) -> None:
    predictions = draw_predictions(2000, 12)
    rows = [
        (-distances[row.strong_index, row.base_index], -min(row.base_probability, row.strong_probability), i)
        for i, row in enumerate(predictions.itertuples())
        if row.base_index != row.strong_index and min(row.base_probability, row.strong_probability) >= 0.3
    ]
    order = [i for _, _, i in sorted(rows)]

    ranking = competition.rank(predictions, distances, min_probability=0.3)

    assert ranking["image"].tolist() == predictions["image"].iloc[order].tolist()
    assert ranking["rank"].tolist() == list(range(1, len(order) + 1))
    assert ranking["distance"].tolist() == [-distance for distance, _, _ in sorted(rows)]
    assert ranking.columns.tolist() == ["rank", *predictions.columns, "distance"]


def test_models_that_agree_rank_nothing(distances: np.ndarray) -> None:
    predictions = draw_predictions(50, 5)
    predictions["strong_index"] = predictions["base_index"]
    ranking = competition.rank(predictions, distances)
    assert len(ranking) == 0
    assert len(competition.select_diverse(ranking)) == 0
    groups = competition.find_groups(ranking, NAMES)
    assert len(groups) == len(competition.find_members(ranking, groups)) == 0


# -- diverse


def select_by_hand(ranking: pd.DataFrame, min_probability: float, per_class: int, per_pair: int) -> list[str]:
    chosen: list[str] = []
    classes: dict[int, int] = {}
    pairs: dict[frozenset, int] = {}
    for row in ranking.itertuples():
        pair = frozenset((row.base_index, row.strong_index))
        if min(row.base_probability, row.strong_probability) < min_probability:
            continue
        if pairs.get(pair, 0) >= per_pair or any(classes.get(c, 0) >= per_class for c in pair):
            continue
        chosen.append(row.image)
        pairs[pair] = pairs.get(pair, 0) + 1
        for c in pair:
            classes[c] = classes.get(c, 0) + 1
    return chosen


@pytest.mark.parametrize("min_probability", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("per_class", [1, 3, 7])
@pytest.mark.parametrize("per_pair", [1, 2])
def test_diverse_equals_a_greedy_loop(ranking, min_probability, per_class, per_pair) -> None:
    chosen = competition.select_diverse(ranking, min_probability, per_class, per_pair)
    assert chosen["image"].tolist() == select_by_hand(ranking, min_probability, per_class, per_pair)
    assert chosen["rank"].is_monotonic_increasing


def test_diverse_counts_what_it_keeps_and_takes_a_pair_in_either_order() -> None:
    pairs = [(1, 2), (2, 1), (1, 2), (1, 3), (1, 4), (1, 5), (5, 6)]
    table = pd.DataFrame(pairs, columns=["base_index", "strong_index"])
    table = table.assign(base_probability=0.9, strong_probability=0.8, image=[f"{i}" for i in range(7)])
    # 1 and 2 are passed over as one pair again, and do not count; 5 would be the fourth image of class 1.
    assert competition.select_diverse(table)["image"].tolist() == ["0", "3", "4", "6"]


# -- groups


def test_groups_equal_a_plain_loop(ranking: pd.DataFrame) -> None:
    whole: dict[tuple[int, int], list] = {}
    for row in ranking.itertuples():
        whole.setdefault((row.strong_index, row.base_index), []).append(row)
    expected = [
        {
            "group_id": f"{strong}-{base}",
            "group": f"c{strong}-c{base}",
            "size": len(rows),
            "distance": rows[0].distance,
            "strong_index": strong,
            "strong_class": f"c{strong}",
            "base_index": base,
            "base_class": f"c{base}",
            "strong_probability": np.mean([row.strong_probability for row in rows]),
            "base_probability": np.mean([row.base_probability for row in rows]),
        }
        for (strong, base), rows in sorted(
            whole.items(),
            key=lambda entry: (-len(entry[1]), -entry[1][0].distance, entry[0]),
        )
        if len(rows) >= 5
    ]

    groups = competition.find_groups(ranking, NAMES, min_size=5)

    pd.testing.assert_frame_equal(groups, pd.DataFrame(expected), check_dtype=False)
    members = competition.find_members(ranking, groups)
    assert members["group_id"].tolist() == [g["group_id"] for g in expected for _ in range(g["size"])]
    for (strong, base), rows in whole.items():
        images = members.loc[members["group_id"] == f"{strong}-{base}", "image"].tolist()
        assert images == ([row.image for row in rows] if len(rows) >= 5 else [])


# -- compete


def test_compete_thins_the_ranking_and_never_the_groups() -> None:
    predictions = draw_predictions(2000, 20)
    plain = competition.compete(predictions, SearchConfig(min_group=1))
    thin = competition.compete(predictions, SearchConfig(diverse=True, min_group=1))
    assert 0 < len(thin.ranking) <= 30 < len(plain.ranking)
    pd.testing.assert_frame_equal(thin.groups, plain.groups)
    assert plain.images == 2000
    assert plain.disagreements == len(plain.ranking) == plain.groups["size"].sum() == len(plain.membership)


def test_compete_filters_by_probability_and_size() -> None:
    predictions = draw_predictions(2000, 20)
    result = competition.compete(predictions, SearchConfig(min_probability=0.5, min_group=3))
    assert result.ranking[["base_probability", "strong_probability"]].to_numpy().min() >= 0.5
    assert result.groups["size"].min() >= 3
    assert result.disagreements > len(result.ranking) > len(result.membership)


@pytest.mark.parametrize("wrong", [{"min_probability": 1.5}, {"min_probability": -0.1}, {"min_group": 0}])
def test_senseless_options_are_refused(wrong: dict) -> None:
    with pytest.raises(UserError, match="--min-"):
        SearchConfig(**wrong)


def test_a_million_images_take_seconds(distances: np.ndarray) -> None:
    import time

    predictions = draw_predictions(1000, 1000).sample(1_000_000, replace=True, random_state=0)
    start = time.process_time()
    ranking = competition.rank(predictions, distances)
    competition.find_members(ranking, competition.find_groups(ranking, NAMES))
    competition.select_diverse(ranking)
    assert time.process_time() - start < 10  # measured: 1.5 s; a loop over images would take a minute


def test_thinning_loops_over_what_is_chosen_only() -> None:
    import time

    random = np.random.default_rng(0)
    pairs = random.permutation(np.stack(np.triu_indices(1000, 1), axis=1))  # each of the 499,500 pairs once
    table = pd.DataFrame(pairs, columns=["base_index", "strong_index"])
    table = table.assign(base_probability=0.9, strong_probability=0.9, image="x")
    start = time.process_time()
    chosen = competition.select_diverse(table)
    assert time.process_time() - start < 5  # measured: 0.6 s
    assert 1400 < len(chosen) <= 1500
