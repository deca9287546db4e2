"""Predictions on a Ray cluster, instead of in this process (`benchmark.predict.engine.predict_here`).

Ray is optional: ``pip install "ray>=2.40"``, the extra "ray".
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from benchmark.core.errors import UserError, message_line
from benchmark.predict.engine import Engine, predict_here

if TYPE_CHECKING:
    import pyarrow as pa

    from benchmark.images.source import ImageSource
    from benchmark.models.load import BaseModel
    from benchmark.predict.store import Shard

RETRIES = 3  # of a shard whose worker died; Ray's own default
WAITING = 2  # shards that wait for each processor of the cluster


def ray_engine() -> Engine:
    """A `benchmark.predict.engine.Engine` that computes each shard as a task of a Ray cluster.

    The cluster is the one that this process is connected to, else the one that ``RAY_ADDRESS`` names, else one
    on this machine. A shard whose worker dies is computed again elsewhere. Each task uses as many threads as this
    process does, since the number of threads can move roundings; on equal processors its results are the same.
    The images' files and this package must be there on every machine.

    Raises:
        UserError: if Ray is not installed, or there is no cluster at that address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a search reports to nobody
    try:
        import ray
    except ImportError as error:
        raise UserError('Ray is not installed: pip install "ray>=2.40", or leave --engine ray out') from error
    if not ray.is_initialized():
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"no Ray cluster at RAY_ADDRESS={os.environ.get('RAY_ADDRESS')} ({message_line(error)})"
            ) from error
    return _predict_on_ray


def _predict_on_ray(
    models: Sequence[BaseModel], source: ImageSource, shards: Sequence[Shard], batch_size: int, draft: int | None
) -> Iterator[tuple[Shard, list[pa.Table]]]:
    import ray

    if not shards:
        return
    on_gpu = any(model.device.type == "cuda" for model in models)
    task = ray.remote(_predict_shard).options(num_gpus=int(on_gpu), max_retries=RETRIES)
    shared = ray.put((list(models), source))
    settings = (batch_size, draft, torch.get_num_threads())
    at_once = WAITING * max(2, int(ray.cluster_resources().get("CPU", 0)))
    remaining = iter(shards)
    running: dict[Any, Shard] = {}
    try:
        while True:
            for shard in remaining:
                running[task.remote([shared], shard, *settings)] = shard
                if len(running) >= at_once:
                    break
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done[0]), ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise UserError(
            f"a shard could not be computed on the Ray cluster, {RETRIES} retries included ({message_line(error)}); "
            "what is done is kept: the same command goes on there"
        ) from error
    finally:
        for reference in running:
            ray.cancel(reference)


def _predict_shard(shared: list[Any], shard: Shard, batch_size: int, draft: int | None, threads: int) -> list[pa.Table]:
    """One shard, in a worker. `shared` is a list, so that Ray passes the reference and not, each time, the models."""
    torch.set_num_threads(threads)
    models, source = _fetch(shared[0])
    ((_, tables),) = predict_here(models, source, [shard], batch_size, draft)
    return tables


@lru_cache(maxsize=1)
def _fetch(reference: Any) -> tuple[list[BaseModel], ImageSource]:
    import ray

    return ray.get(reference)
