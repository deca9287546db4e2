"""The one engine that runs models over images: each image is decoded once for all models, shards go to disk.

Mining, locality selection and the filter of a benchmark use it, so that a model's prediction for an image is
computed in one way. Threads decode ahead while the models run, a bounded number of images, so that memory does not
grow with the source. A kill costs at most one shard.

Predictions are stored for each model apart (see `benchmark.predict.store`), under a key of all that could change
them: the image, the model's identity, the kind of device, the batch size, the scale of decoding and the libraries'
versions. A source that has grown, or another strong model for the same base, costs only the new predictions.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from tqdm.auto import tqdm

from benchmark.core.devices import exact_float32
from benchmark.images.decode import BrokenImage, Preprocessing
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from benchmark.predict import store
from benchmark.predict.store import NOWHERE, ModelPredictions, Shard

DECODERS = 2  # threads beside models on the CPU, whose own threads more of them would keep waiting
DECODERS_FOR_GPU = 32  # at most, beside models on a GPU: as many as there are processors
AHEAD = 2  # batches that may be decoded before the models have taken them

Decoded = dict[Preprocessing, torch.Tensor] | str  # an image as the models take it, or why there is none
Engine = Callable[
    [Sequence[BaseModel], ImageSource, Sequence[Shard], int, int | None], Iterator[tuple[Shard, list[pa.Table]]]
]  # models, source, shards, batch size, draft -> each shard, in any order, with a `shard_table` for each of its models


def predict(
    models: Sequence[BaseModel],
    source: ImageSource,
    *,
    batch_size: int = 64,
    cache: Path | None = None,
    progress: bool = True,
    draft: int | None = None,
    engine: Engine | None = None,
) -> pd.DataFrame:
    """Top-1 predictions of every model for every image of `source`.

    Returns one row an image, in the source's order: ``image`` (its id), ``error`` (why a model has no prediction for
    it, else empty) and for each model ``<name>_label`` (int, `NOWHERE` without a prediction),
    ``<name>_probability`` and ``<name>_margin`` (top-1 minus top-2 probability), float32, both 0 without one. An
    image that does not decode has no prediction of any model; one whose logits are not finite, none of that model.

    Args:
        models: the models to run; their names must differ.
        source: the images.
        batch_size: images a forward. A batch never spans two shards, so an uninterrupted run, a resumed one and
            any `engine` make the same batches.
        cache: folder where predictions are kept, and reused by any later call (see the module's docstring):
            `benchmark.predict.store.predictions_folder` in every command. A file that cannot be read is made again.
        progress: show how many images are done, and the time left.
        draft: as in `benchmark.images.decode.decode`.
        engine: where shards are computed; by default in this process (`predict_here`).

    Raises:
        UserError: if `cache` cannot be written.
    """
    keys = store.image_keys(source.stamps)
    predictions = [ModelPredictions(model, batch_size, draft, cache) for model in models]
    shards = store.plan_shards(keys, np.array([of_model.missing(keys) for of_model in predictions]))
    with tqdm(total=len(source), unit="image", disable=not progress, desc="predict", leave=False, delay=5) as bar:
        bar.update(len(source) - sum(len(shard.positions) for shard in shards))
        for shard, tables in (engine or predict_here)(models, source, shards, batch_size, draft):
            for model_index, table in zip(shard.models, tables, strict=True):
                predictions[model_index].add(table)
            bar.update(len(shard.positions))

    result = pd.DataFrame({"image": pd.Series(source.ids, dtype=str), "error": ""})
    for of_model in predictions:
        rows = of_model.rows(keys)
        errors = of_model.column("error").take(rows).to_pandas().astype(str)
        result["error"] = result["error"].where(result["error"] != "", errors)
        for field in store.SCHEMA.names[2:]:
            result[f"{of_model.model.name}_{field}"] = of_model.column(field).take(rows).to_numpy()
    return result


def predict_here(
    models: Sequence[BaseModel],
    source: ImageSource,
    shards: Sequence[Shard],
    batch_size: int,
    draft: int | None = None,
) -> Iterator[tuple[Shard, list[pa.Table]]]:
    """Compute shards in this process, in order; the images of the next are decoded while the models run."""
    needed = {shard.models: {models[index].preprocessing for index in shard.models} for shard in shards}
    threads = min(DECODERS_FOR_GPU, os.cpu_count() or 1) if _on_gpu(models) else DECODERS
    decoders = ThreadPoolExecutor(max_workers=threads)
    try:
        jobs = (
            functools.partial(_decode, source, position, needed[shard.models], draft)
            for shard in shards
            for position in shard.positions.tolist()
        )
        decoded = _ahead(decoders, jobs, AHEAD * max(batch_size, threads))
        for shard in shards:
            images = itertools.islice(decoded, len(shard.positions))
            yield shard, _predict_shard([models[index] for index in shard.models], shard.keys, images, batch_size)
    finally:
        decoders.shutdown(cancel_futures=True)


def top1(logits: torch.Tensor) -> torch.Tensor:
    """Top-1 classes of logits (..., classes), int64 (...,); `NOWHERE` where a logit is not finite."""
    return torch.where(logits.isfinite().all(-1), logits.argmax(-1), NOWHERE)


@torch.no_grad()
def top2(module: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Top-1 class (n,), its softmax probability (n,) and its margin over the second (n,), on the images' device.

    They are `NOWHERE`, 0 and 0 where a logit is not finite.
    """
    logits = module(images)
    labels = top1(logits)
    first, second = logits.float().softmax(-1).topk(2, dim=-1).values.unbind(-1)
    finite = labels != NOWHERE
    return labels, torch.where(finite, first, 0), torch.where(finite, first - second, 0)


# ------------------------------------------------------------------------------------------ the pipeline


def _on_gpu(models: Sequence[BaseModel]) -> bool:
    return any(model.device.type != "cpu" for model in models)


def _ahead(threads: ThreadPoolExecutor, jobs: Iterable[Callable[[], Decoded]], ahead: int) -> Iterator[Decoded]:
    """The jobs' results, in order; at most `ahead` of them wait. (`Executor.map` would make them all at once.)"""
    remaining, waiting = iter(jobs), deque[Future[Decoded]]()
    waiting.extend(threads.submit(job) for job in itertools.islice(remaining, ahead))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(threads.submit(job) for job in itertools.islice(remaining, 1))
        yield result


def _decode(source: ImageSource, position: int, needed: Iterable[Preprocessing], draft: int | None) -> Decoded:
    try:
        with source.opening(position, draft) as image:
            return {preprocessing: preprocessing(image) for preprocessing in needed}
    except BrokenImage as error:
        return str(error) or "broken"


@exact_float32()
def _predict_shard(
    models: Sequence[BaseModel], keys: pa.Array, decoded: Iterable[Decoded], batch_size: int
) -> list[pa.Table]:
    """Each model's predictions for the images of one shard."""
    errors: list[str] = []
    pending: list[dict[Preprocessing, torch.Tensor]] = []
    outputs: list[list[tuple[torch.Tensor, ...]]] = [[] for _ in models]
    for image in decoded:
        errors.append(image if isinstance(image, str) else "")
        if not isinstance(image, str):
            pending.append(image)
        if len(pending) == batch_size or (pending and len(errors) == len(keys)):
            _run_batch(models, pending, outputs)
            pending = []
    return [store.shard_table(keys, errors, *_join(batches)) for batches in outputs]


def _run_batch(
    models: Sequence[BaseModel],
    images: Sequence[dict[Preprocessing, torch.Tensor]],
    outputs: Sequence[list[tuple[torch.Tensor, ...]]],
) -> None:
    """Run all models. Results stay on their device until the shard is done, so that no copy waits for them."""
    stacked = {preprocessing: torch.stack([image[preprocessing] for image in images]) for preprocessing in images[0]}
    for model, batches in zip(models, outputs, strict=True):
        batch = stacked[model.preprocessing]
        if model.device.type == "cuda":
            batch = batch.pin_memory()  # else the copy would wait for the model before
        batch = batch.to(model.device, next(model.module.parameters()).dtype, non_blocking=True)
        batches.append(top2(model.module, batch))


def _join(batches: Sequence[tuple[torch.Tensor, ...]]) -> list[np.ndarray]:
    columns = zip(*batches, strict=True)
    return [torch.cat(column).cpu().numpy() for column in columns] or [np.empty(0)] * 3
