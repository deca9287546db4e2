"""Models over a pool of images: each image is decoded once for all models, results go to disk in parts.

Mining, locality selection and the filter of a benchmark use this, so that a model's prediction for an
image is computed in one way. A kill costs at most one part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm.auto import tqdm

from benchmark.files import replacing
from benchmark.images import BrokenImage
from benchmark.models import BaseModel

PART = 512  # images a part file
DECODERS = 2  # threads; more of them and the models' own threads keep each other waiting on a small machine
PROTOCOL = "predict-1"


class Pool(Protocol):
    """Images by position. `ids` are stable names; `open` raises `BrokenImage` for what does not decode."""

    @property
    def ids(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def open(self, position: int) -> Image.Image: ...


def predict(
    models: Sequence[BaseModel],
    pool: Pool,
    *,
    batch_size: int = 64,
    cache: Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Top-1 predictions of every model for every image of `pool`.

    Returns one row an image, in the pool's order: ``image`` (its id), ``error`` (why it was skipped, else
    empty) and for each model ``<name>_label`` (int, -1 if skipped), ``<name>_probability`` and
    ``<name>_margin`` (top-1 minus top-2 probability), float32. With `cache`, parts are kept there and
    reused by any later call with the same images, weights, preprocessing and precision.
    """
    folder = cache / _key(models, pool, batch_size) if cache is not None else None
    parts = []
    starts = range(0, len(pool), PART)
    with tqdm(total=len(pool), unit="image", disable=not progress, desc="predict", leave=False) as bar:
        for number, start in enumerate(starts):
            positions = range(start, min(start + PART, len(pool)))
            file = folder / f"part-{number:05d}.parquet" if folder is not None else None
            if file is not None and file.is_file():
                part = pd.read_parquet(file)
            else:
                part = _predict_part(models, pool, positions, batch_size)
                if file is not None:
                    with replacing(file) as temporary:
                        part.to_parquet(temporary, index=False)
            parts.append(part)
            bar.update(len(positions))
    return pd.concat(parts, ignore_index=True) if parts else _predict_part(models, pool, range(0), batch_size)


@torch.no_grad()
def top2(module: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Top-1 class (n,), its softmax probability (n,) and its margin over the second (n,), on the CPU."""
    probabilities, classes = module(images).float().softmax(-1).topk(2, dim=-1)
    return classes[:, 0].cpu(), probabilities[:, 0].cpu(), (probabilities[:, 0] - probabilities[:, 1]).cpu()


def _predict_part(models: Sequence[BaseModel], pool: Pool, positions: range, batch_size: int) -> pd.DataFrame:
    columns: dict[str, list] = {"image": [pool.ids[position] for position in positions], "error": []}
    outputs: dict[str, list[np.ndarray]] = {}
    with ThreadPoolExecutor(max_workers=DECODERS) as decoders:
        opened = decoders.map(lambda position: _open(pool, position, models), positions)
        pending: list[tuple[torch.Tensor, ...]] = []
        good: list[int] = []
        for row, result in enumerate(opened):
            columns["error"].append(result if isinstance(result, str) else "")
            if not isinstance(result, str):
                good.append(row)
                pending.append(result)
            if len(pending) == batch_size or (pending and row == len(positions) - 1):
                _run_batch(models, pending, outputs)
                pending = []
    frame = pd.DataFrame(columns)
    for model in models:
        for field, kind, missing in (
            ("label", np.int64, -1),
            ("probability", np.float32, 0),
            ("margin", np.float32, 0),
        ):
            values = np.full(len(positions), missing, dtype=kind)
            batches = outputs.get(f"{model.name}_{field}", [])
            if batches:
                values[good] = np.concatenate(batches)
            frame[f"{model.name}_{field}"] = values
    return frame


def _open(pool: Pool, position: int, models: Sequence[BaseModel]) -> tuple[torch.Tensor, ...] | str:
    try:
        image = pool.open(position)
    except BrokenImage as error:
        return str(error) or "broken"
    return tuple(model.preprocessing(image) for model in models)


def _run_batch(
    models: Sequence[BaseModel], pending: list[tuple[torch.Tensor, ...]], outputs: dict[str, list[np.ndarray]]
) -> None:
    for model, images in zip(models, zip(*pending, strict=True), strict=True):
        batch = torch.stack(images).to(model.device, next(model.module.parameters()).dtype)
        for field, values in zip(("label", "probability", "margin"), top2(model.module, batch), strict=True):
            outputs.setdefault(f"{model.name}_{field}", []).append(values.numpy())


def _key(models: Sequence[BaseModel], pool: Pool, batch_size: int) -> str:
    facts = {
        "protocol": PROTOCOL,
        "models": [(m.name, m.weights_sha256, m.preprocessing.to_dict(), m.precision, m.device.type) for m in models],
        "batch_size": batch_size,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in pool.ids:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:24]
