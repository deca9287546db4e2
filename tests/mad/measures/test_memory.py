"""The memory of mining stays where it is, however large the pool."""

from __future__ import annotations

import pytest

from benchmark.core.errors import UserError
from benchmark.predict import store
from mad.measures import memory


def test_memory_does_not_grow_with_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 decoded images would be 36 MB a model; what is kept of them is far below a megabyte."""
    kept, table = 0, store.shard_table

    def counted(*arguments):
        nonlocal kept
        found = table(*arguments)
        kept += found.nbytes
        return found

    monkeypatch.setattr(store, "shard_table", counted)
    found = memory.measure_memory(3000)
    assert 0 < kept < 3000 * 2 * 64
    assert found.peak_gib >= found.start_gib > 0.1


def test_a_system_that_does_not_tell_is_named() -> None:
    assert memory.in_gib(3 * 2**29) == 1.5
    with pytest.raises(UserError, match="does not tell"):
        memory.in_gib(None)
