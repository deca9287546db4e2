"""Predictions on a Ray cluster, instead of in this process (`benchmark.predict.engine.predict_here`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from benchmark.core.cluster import Cluster, connect
from benchmark.predict.engine import Engine, predict_here

if TYPE_CHECKING:
    import pyarrow as pa

    from benchmark.images.source import ImageSource
    from benchmark.models.load import BaseModel
    from benchmark.predict.store import Shard


def ray_engine() -> Engine:
    """A `benchmark.predict.engine.Engine` whose shards are computed on a Ray cluster (`benchmark.core.cluster`).

    On equal processors its results are the same. The images' files and this package must be there on every machine.

    Raises:
        UserError: if Ray is not installed, or no cluster answers.
    """
    connect()
    return _predict_on_ray


def _predict_on_ray(
    models: Sequence[BaseModel], source: ImageSource, shards: Sequence[Shard], batch_size: int, draft: int | None
) -> Iterator[tuple[Shard, list[pa.Table]]]:
    if not shards:
        return
    on_gpu = any(model.device.type == "cuda" for model in models)
    begin = partial(_begin, list(models), source, batch_size, draft)
    with Cluster(begin, on_gpu, "a shard") as cluster:
        yield from cluster.map(shards)


def _begin(
    models: Sequence[BaseModel], source: ImageSource, batch_size: int, draft: int | None
) -> Callable[[Shard], list[pa.Table]]:
    """A worker's function."""

    def predict_shard(shard: Shard) -> list[pa.Table]:
        ((_, tables),) = predict_here(models, source, [shard], batch_size, draft)
        return tables

    return predict_shard
