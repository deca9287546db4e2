"""The memory of mining stays where it is, however large the pool."""

from __future__ import annotations

import pytest

from benchmark.core.errors import UserError
from benchmark.predict import store
from mad.measures import memory


def test_memory_does_not_grow_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 decoded images would be 36 MB a model; what is kept of them is far below a megabyte."""
    n_bytes, shard_table = 0, store.shard_table

    def counted(*arguments):
        nonlocal n_bytes
        shard = shard_table(*arguments)
        n_bytes += shard.nbytes
        return shard

    monkeypatch.setattr(store, "shard_table", counted)
    memory_use = memory.measure_memory(3000)
    assert 0 < n_bytes < 3000 * 2 * 64
    assert memory_use.peak_gib >= memory_use.start_gib > 0.1


def test_a_system_that_reports_no_memory_is_named() -> None:
    assert memory.to_gib(3 * 2**29) == 1.5
    with pytest.raises(UserError, match="must report"):
        memory.to_gib(None)
