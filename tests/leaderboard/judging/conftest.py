"""A judge of the small base on the small benchmark."""

from __future__ import annotations

import pytest

from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from leaderboard.judging import run_spec
from leaderboard.judging.judge import Judge


@pytest.fixture
def judge(base: BaseModel, small_benchmark: Benchmark) -> Judge:
    return Judge(base, small_benchmark)


@pytest.fixture
def unhashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the hashes of code, which take longer than most of these runs do."""
    monkeypatch.setattr(run_spec, "hash_sources", lambda entries: {})
