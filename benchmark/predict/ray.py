"""Where predictions are computed: in this process (`benchmark.predict.engine.local`), or on a Ray cluster.

Ray is optional: ``pip install "vit-edit-bench[ray]"``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from benchmark.core.errors import UserError, first_line
from benchmark.predict import engine as predict

if TYPE_CHECKING:
    import pyarrow as pa

    from benchmark.models.load import BaseModel
    from benchmark.predict.parts import Part

RETRIES = 3  # of a part whose worker died; Ray's own default
WAITING = 2  # parts that wait for each processor of the cluster


def ray_engine() -> predict.Engine:
    """A `benchmark.predict.engine.Engine` that computes each part as a task of a Ray cluster.

    The cluster is the one that this process is connected to, else the one that ``RAY_ADDRESS`` names, else one
    on this machine. A part whose worker dies is computed again elsewhere. Each task uses as many threads as this
    process does, since the number of threads can move roundings; on equal processors its results are the same.
    The pool's files and this package must be there on every machine.

    Raises:
        UserError: if Ray is not installed, or there is no cluster at that address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a search reports to nobody
    try:
        import ray
    except ImportError as error:
        raise UserError('Ray is not installed: pip install "vit-edit-bench[ray]", or leave --engine ray out') from error
    if not ray.is_initialized():
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"no Ray cluster at RAY_ADDRESS={os.environ.get('RAY_ADDRESS')} ({first_line(error)})"
            ) from error
    return _over_ray


def _over_ray(
    models: Sequence[BaseModel], pool: predict.Pool, todo: Sequence[Part], batch_size: int, draft: int | None
) -> Iterator[tuple[Part, list[pa.Table]]]:
    import ray

    if not todo:
        return
    on_gpu = any(model.device.type == "cuda" for model in models)
    task = ray.remote(_compute).options(num_gpus=int(on_gpu), max_retries=RETRIES)
    shared = ray.put((list(models), pool))
    settings = (batch_size, draft, torch.get_num_threads())
    at_once = WAITING * max(2, int(ray.cluster_resources().get("CPU", 0)))
    left = iter(todo)
    running: dict[Any, Part] = {}
    try:
        while True:
            for part in left:
                running[task.remote([shared], part, *settings)] = part
                if len(running) >= at_once:
                    break
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            part = running.pop(done[0])
            yield part, ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise UserError(
            f"a part could not be computed on the Ray cluster, {RETRIES} retries included ({first_line(error)}); "
            "what is done is kept: the same command goes on there"
        ) from error
    finally:
        for reference in running:
            ray.cancel(reference)


def _compute(shared: list[Any], part: Part, batch_size: int, draft: int | None, threads: int) -> list[pa.Table]:
    """One part, in a worker. `shared` is a list so that Ray hands over the reference and not, each time, the models."""
    torch.set_num_threads(threads)
    models, pool = _fetched(shared[0])
    ((_, tables),) = predict.local(models, pool, [part], batch_size, draft)
    return tables


@lru_cache(maxsize=1)
def _fetched(reference: Any) -> tuple[list[BaseModel], predict.Pool]:
    import ray

    return ray.get(reference)
