"""Properties of sampling, on tables made up: limits spread and nest, partners are company, seeds are a sample's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from benchmark.data.dataset import Benchmark, LabelledImages
from benchmark.images.memory import EncodedImages
from leaderboard.judging.sampling import Settings, chosen_samples, with_partners


def benchmark_of(rows: list[tuple[int, int]]) -> Benchmark:
    """A benchmark without images; each row is (group, drawing)."""
    table = pd.DataFrame(
        {
            "group_id": [f"group {group}" for group, _ in rows],
            "group": [f"group {group}" for group, _ in rows],
            "drawing": [f"{group}/{drawing}" for group, drawing in rows],
            "sha256": [f"hash of sample {number}" for number in range(len(rows))],
        }
    )
    samples = LabelledImages(
        table, EncodedImages("nothing", table["sha256"].tolist(), pa.chunked_array([[b""] * len(rows)]))
    )
    return Benchmark("made up", "1", samples, samples)


BENCHMARKS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=25).map(benchmark_of)
SEEDS = st.integers(0, 2**32 - 1)


@given(BENCHMARKS, SEEDS, st.integers(1, 30), st.data())
def test_a_limit_draws_distinct_samples_evenly_and_smaller_limits_nest(
    benchmark: Benchmark, seed: int, limit: int, data: st.DataObject
) -> None:
    groups = tuple(data.draw(st.lists(st.sampled_from(benchmark.groups), unique=True)))
    rows = chosen_samples(benchmark, Settings(seed=seed, limit=limit, groups=groups)).tolist()
    sizes = {group: len(benchmark.members(group)) for group in groups or benchmark.groups}
    assert len(rows) == len(set(rows)) == min(limit, sum(sizes.values()))
    of = benchmark.edit.table["group_id"].iloc[rows]
    drawn = {group: int((of == group).sum()) for group in sizes}
    assert sum(drawn.values()) == len(rows), "no other group is drawn from"
    most = max(drawn.values())
    assert all(most - 1 <= drawn[group] <= most or drawn[group] == sizes[group] for group in sizes)
    larger = Settings(seed=seed, limit=limit + data.draw(st.integers(1, 5)), groups=groups)
    assert set(rows) <= set(chosen_samples(benchmark, larger).tolist())
    everything = chosen_samples(benchmark, Settings(seed=seed, groups=groups)).tolist()
    assert rows == [row for row in everything if row in rows], "in the order of a run without a limit"


@given(BENCHMARKS, SEEDS, st.integers(1, 6), st.data())
def test_partners_are_others_of_the_group_new_drawings_first_in_an_order_of_the_samples_own(
    benchmark: Benchmark, seed: int, count: int, data: st.DataObject
) -> None:
    settings = Settings(seed=seed, samples_per_edit=count)
    rows = np.array(data.draw(st.permutations(range(len(benchmark.edit))))[:5])
    together = with_partners(benchmark, rows, settings)
    assert together.shape == (len(rows), count) and together[:, 0].tolist() == rows.tolist()
    for row, company in zip(rows, together, strict=True):
        members = benchmark.members(benchmark.edit.table["group_id"].iloc[row])
        assert set(company) <= set(members)
        distinct = company[: len(members)]
        assert len(set(distinct)) == len(distinct), "nobody comes twice before all came, least of all the sample"
        drawings = benchmark.edit.drawings
        new = min(count, drawings.iloc[members].nunique())
        assert drawings.iloc[company[:new]].nunique() == new
        assert np.array_equal(with_partners(benchmark, np.array([row]), settings)[0], company), "whoever else is edited"
    fewer = with_partners(benchmark, rows, Settings(seed=seed, samples_per_edit=max(1, count - 1)))
    assert np.array_equal(together[:, : fewer.shape[1]], fewer)


def test_another_seed_is_another_draw() -> None:
    benchmark = benchmark_of([(number % 2, 0) for number in range(20)])
    for draw in (
        lambda seed: chosen_samples(benchmark, Settings(seed=seed, limit=6)),
        lambda seed: with_partners(benchmark, np.arange(2), Settings(seed=seed, samples_per_edit=6)),
    ):
        assert len({draw(seed).tobytes() for seed in range(5)}) == 5
