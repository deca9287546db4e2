"""A Ray cluster of two workers on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # else it writes a token into the home folder
    "PYTHONPATH": str(ROOT),  # workers must find what tests define
}

LOCAL = {
    "num_cpus": 2,
    "num_gpus": 0,
    "object_store_memory": 100 << 20,
    "include_dashboard": False,
    "log_to_driver": False,
}


@contextmanager
def local_ray(cache: Path) -> Iterator[None]:
    """Connect this process to such a cluster, whose workers keep predictions in `cache`."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "VIT_EDIT_BENCH_CACHE": str(cache)}.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init("local", **LOCAL)
        yield
        ray.shutdown()
