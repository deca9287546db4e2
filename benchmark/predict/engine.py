"""Models over a pool of images: each image is decoded once for all models, results go to disk in parts.

Mining, locality selection and the filter of a benchmark use this, so that a model's prediction for an
image is computed in one way. Threads decode ahead while the models run, a bounded number of images, so that
memory does not grow with the pool. A kill costs at most one part.

What is kept is kept for each model apart, and known by what could change it: the image, the weights, the
preprocessing, the precision, the kind of device, the batch size, the scale of decoding and the libraries'
versions. A pool that has grown, or another rival for the same base, costs only what is new.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image
from tqdm.auto import tqdm

from benchmark.images.decode import BrokenImage, Preprocessing
from benchmark.models.load import BaseModel
from benchmark.predict import parts
from benchmark.predict.parts import Part

DECODERS = 2  # threads beside models on the CPU, whose own threads more of them would keep waiting
DECODERS_FOR_GPU = 32  # at most, beside models on a GPU: as many as there are processors
AHEAD = 2  # batches that may be decoded before the models have taken them

Opened = dict[Preprocessing, torch.Tensor] | str  # an image as the models take it, or why there is none


class Pool(Protocol):
    """Images by position. `ids` are stable names; `open` raises `BrokenImage` for what does not decode.

    A pool may also have `stamps`, a string for each image that changes when the image does. Without them its
    `ids` are taken for that.
    """

    @property
    def ids(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def open(self, position: int) -> Image.Image: ...


class Drafting(Pool, Protocol):
    """A pool that can hand `benchmark.images.decode.decode` a `draft`."""

    def open(self, position: int, draft: int | None = None) -> Image.Image: ...


Engine = Callable[
    [Sequence[BaseModel], Pool, Sequence[Part], int, int | None], Iterator[tuple[Part, list[pa.Table]]]
]  # models, pool, parts, batch size, draft -> each part, in any order, with a `parts.table` for each of its models


def predict(
    models: Sequence[BaseModel],
    pool: Pool,
    *,
    batch_size: int = 64,
    cache: Path | None = None,
    progress: bool = True,
    draft: int | None = None,
    engine: Engine | None = None,
) -> pd.DataFrame:
    """Top-1 predictions of every model for every image of `pool`.

    Returns one row an image, in the pool's order: ``image`` (its id), ``error`` (why it was skipped, else
    empty) and for each model ``<name>_label`` (int, -1 if skipped), ``<name>_probability`` and
    ``<name>_margin`` (top-1 minus top-2 probability), float32.

    Args:
        models: who is asked; their names must differ.
        pool: what they are asked about.
        batch_size: images a forward. A batch never spans two parts, so an uninterrupted run, a resumed one and
            any `engine` make the same batches.
        cache: folder where parts are kept, and reused by any later call (see the module's docstring). A part
            that cannot be read is computed again.
        progress: show how many images are done, and the time left.
        draft: what `benchmark.images.decode.decode` calls so; the pool must be a `Drafting` one.
        engine: where parts are computed; by default here (`local`).

    Raises:
        UserError: if `cache` cannot be written.
    """
    keys = parts.keys(pool.ids if (stamps := getattr(pool, "stamps", None)) is None else stamps)
    folders = [cache / parts.model_key(one, batch_size, draft) if cache is not None else None for one in models]
    told = [parts.kept(folder) for folder in folders]
    missing = [pc.is_null(pc.index_in(keys, value_set=parts.column(one, "key"))).to_numpy(False) for one in told]
    todo = parts.cut(keys, np.array(missing))
    with tqdm(total=len(pool), unit="image", disable=not progress, desc="predict", leave=False) as bar:
        bar.update(len(pool) - sum(len(part.positions) for part in todo))
        for part, tables in (engine or local)(models, pool, todo, batch_size, draft):
            for number, table in zip(part.models, tables, strict=True):
                folder = folders[number]
                if folder is not None:
                    parts.write(folder, table)
                told[number].append(table)
            bar.update(len(part.positions))

    found: dict[str, object] = {"image": pd.Series(pool.ids, dtype=str)}
    for model, tables in zip(models, told, strict=True):
        rows = pc.index_in(keys, value_set=parts.column(tables, "key"))
        found["error"] = parts.column(tables, "error").take(rows).to_pandas().astype(str)
        for field in parts.SCHEMA.names[2:]:
            found[f"{model.name}_{field}"] = parts.column(tables, field).take(rows).to_numpy()
    return pd.DataFrame(found)


def local(
    models: Sequence[BaseModel], pool: Pool, todo: Sequence[Part], batch_size: int, draft: int | None = None
) -> Iterator[tuple[Part, list[pa.Table]]]:
    """Compute `todo` in this process, in order; the images of the next are decoded while the models run."""
    asked = {part.models: {models[number].preprocessing for number in part.models} for part in todo}
    threads = min(DECODERS_FOR_GPU, os.cpu_count() or 1) if _on_gpu(models) else DECODERS
    decoders = ThreadPoolExecutor(max_workers=threads)
    try:
        jobs = (
            functools.partial(_open, pool, position, asked[part.models], draft)
            for part in todo
            for position in part.positions.tolist()
        )
        opened = _ahead(decoders, jobs, AHEAD * max(batch_size, threads))
        for part in todo:
            some = itertools.islice(opened, len(part.positions))
            yield part, _ask([models[number] for number in part.models], part.keys, some, batch_size)
    finally:
        decoders.shutdown(cancel_futures=True)


@torch.no_grad()
def top2(module: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Top-1 class (n,), its softmax probability (n,) and its margin over the second (n,), on the images' device."""
    probabilities, classes = module(images).float().softmax(-1).topk(2, dim=-1)
    return classes[:, 0], probabilities[:, 0], probabilities[:, 0] - probabilities[:, 1]


# ------------------------------------------------------------------------------------------ the pipeline


def _on_gpu(models: Sequence[BaseModel]) -> bool:
    return any(model.device.type == "cuda" for model in models)


def _ahead(threads: ThreadPoolExecutor, jobs: Iterable[Callable[[], Opened]], ahead: int) -> Iterator[Opened]:
    """What the jobs make, in order; at most `ahead` results wait. (`Executor.map` would make them all at once.)"""
    left, waiting = iter(jobs), deque[Future[Opened]]()
    waiting.extend(threads.submit(job) for job in itertools.islice(left, ahead))
    while waiting:
        made = waiting.popleft().result()
        waiting.extend(threads.submit(job) for job in itertools.islice(left, 1))
        yield made


def _open(pool: Pool, position: int, asked: Iterable[Preprocessing], draft: int | None) -> Opened:
    try:
        image = pool.open(position) if draft is None else cast(Drafting, pool).open(position, draft=draft)
    except BrokenImage as error:
        return str(error) or "broken"
    return {preprocessing: preprocessing(image) for preprocessing in asked}


def _ask(models: Sequence[BaseModel], keys: pa.Array, opened: Iterable[Opened], batch_size: int) -> list[pa.Table]:
    """What each model says of the images of one part."""
    errors: list[str] = []
    pending: list[dict[Preprocessing, torch.Tensor]] = []
    outputs: list[list[tuple[torch.Tensor, ...]]] = [[] for _ in models]
    for image in opened:
        errors.append(image if isinstance(image, str) else "")
        if not isinstance(image, str):
            pending.append(image)
        if len(pending) == batch_size or (pending and len(errors) == len(keys)):
            _run_batch(models, pending, outputs)
            pending = []
    good = np.array(errors) == ""
    return [parts.table(keys, errors, good, *_joined(batches)) for batches in outputs]


def _run_batch(
    models: Sequence[BaseModel],
    images: Sequence[dict[Preprocessing, torch.Tensor]],
    outputs: Sequence[list[tuple[torch.Tensor, ...]]],
) -> None:
    """Ask all models. What they say stays on their device until the part is done, so that nobody waits for it."""
    stacked = {preprocessing: torch.stack([image[preprocessing] for image in images]) for preprocessing in images[0]}
    for model, batches in zip(models, outputs, strict=True):
        batch = stacked[model.preprocessing]
        if model.device.type == "cuda":
            batch = batch.pin_memory()  # else the copy would wait for the model before
        batch = batch.to(model.device, next(model.module.parameters()).dtype, non_blocking=True)
        batches.append(top2(model.module, batch))


def _joined(batches: Sequence[tuple[torch.Tensor, ...]]) -> list[np.ndarray]:
    return [torch.cat(some).cpu().numpy() for some in zip(*batches, strict=True)] or [np.empty(0)] * 3
