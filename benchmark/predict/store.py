"""Predictions on disk: the shards that are computed at once, and one folder of tables for each model.

A model's folder is named by `model_key` and holds ``shard-*.parquet``; all of them together read as one table. A shard
is named by the hash of its bytes, and one that is not what its name says is predicted again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmark.core.arrays import read_parquet
from benchmark.core.files import CACHE, cache_folder, write_bytes
from benchmark.core.readers import Unreadable, read_bytes
from benchmark.core.versions import library_versions
from benchmark.models.load import BaseModel

SHARD_SIZE = 512  # images
FORMAT = "predict-4"  # of what is on disk; another one where the same key would stand for other numbers
NOWHERE = -1  # the class of an image that does not decode, or for which the model's logits are not finite
NOT_FINITE = "the model's logits are not finite"
SCHEMA = pa.schema(
    {"key": pa.string(), "error": pa.string(), "label": pa.int64(), "probability": pa.float32(), "margin": pa.float32()}
)


def predictions_folder() -> Path:
    """The one folder where predictions are kept: `benchmark.core.files.cache_folder` / ``predictions``."""
    return cache_folder() / "predictions"


def model_key(model: BaseModel, batch_size: int, draft: int | None) -> str:
    """Hash of all that can change a prediction, except the image. The model's name cannot."""
    spec = {
        "format": FORMAT,
        "model": model.identity,
        "computed": [model.device.type, batch_size, draft],
        "float32": "exact",  # the engine lets nothing round it
        "libraries": library_versions(),
    }
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:24]


def image_keys(stamps: Iterable[str]) -> pa.Array:
    """A hash of each image's stamp, since stamps may be long, and no Unicode where file names are none."""
    hashes = (hashlib.blake2b(stamp.encode("utf-8", "surrogateescape"), digest_size=16) for stamp in stamps)
    return pa.array((stamp_hash.hexdigest() for stamp_hash in hashes), pa.string())


# ------------------------------------------------------------------------------------------ shards


@dataclass(frozen=True)
class Shard:
    """Positions (n,) in an image source, n <= `SHARD_SIZE`, their keys, and the numbers of the models to run."""

    positions: np.ndarray
    keys: pa.Array
    models: tuple[int, ...]


def plan_shards(keys: pa.Array, missing: np.ndarray) -> list[Shard]:
    """Shards of the images that are `missing` (models, images); an image that is there twice is in one of them.

    The source is cut at multiples of `SHARD_SIZE`. Slices without any prediction are shards as they are,
    independent of earlier ones, so that a resumed run makes the batches of an uninterrupted one. Images that
    are missing here and there, as in a source that has grown, are gathered.
    """
    repeated = keys.to_pandas().duplicated().to_numpy()
    model_bits = missing.T @ (1 << np.arange(len(missing))) if len(missing) else np.zeros(len(keys), np.int64)
    model_bits[repeated] = 0
    slices = np.arange(len(keys)) // SHARD_SIZE
    shards = []
    for bits in np.unique(model_bits[model_bits > 0]).tolist():
        selected = model_bits == bits
        whole = np.bincount(slices, selected) == np.bincount(slices)
        gathered = np.flatnonzero(selected & ~whole[slices])
        starts = [int(number) * SHARD_SIZE for number in np.flatnonzero(whole)]
        chunks = [np.arange(start, min(start + SHARD_SIZE, len(keys))) for start in starts]
        chunks += [gathered[start : start + SHARD_SIZE] for start in range(0, len(gathered), SHARD_SIZE)]
        models = tuple(number for number in range(len(missing)) if bits >> number & 1)
        shards += [Shard(chunk, keys.take(pa.array(chunk)), models) for chunk in chunks]
    return shards


def shard_table(
    keys: pa.Array, errors: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, margins: np.ndarray
) -> pa.Table:
    """One model's predictions for one shard, with the columns of `SCHEMA`.

    Args:
        keys: (n,) of the images.
        errors: (n,) why an image was skipped, else empty.
        labels: (k,) of the k images that were not skipped; the others get `NOWHERE`. One that is `NOWHERE` itself
            gets the error `NOT_FINITE`.
        probabilities: (k,) likewise; the others get 0.
        margins: (k,) likewise.
    """
    reasons = np.array(errors, dtype=object)
    predicted = reasons == ""
    columns: list[pa.Array] = []
    for field, values, default in zip(list(SCHEMA)[2:], (labels, probabilities, margins), (NOWHERE, 0, 0), strict=True):
        column = np.full(len(reasons), default, dtype=field.type.to_pandas_dtype())
        column[predicted] = values
        columns.append(column)
    reasons[predicted & (columns[0] == NOWHERE)] = NOT_FINITE
    return pa.Table.from_arrays([keys, pa.array(reasons, pa.string()), *map(pa.array, columns)], schema=SCHEMA)


# ------------------------------------------------------------------------------------------ one model


class ModelPredictions:
    """One model's predictions: those in its folder below `cache`, if there is one, and those added since."""

    def __init__(self, model: BaseModel, batch_size: int, draft: int | None, cache: Path | None) -> None:
        self.model = model
        self.folder = cache / model_key(model, batch_size, draft) if cache is not None else None
        self.tables = list(_read_tables(self.folder)) if self.folder is not None else []

    def missing(self, keys: pa.Array) -> np.ndarray:
        """The images (n,) bool without a prediction."""
        return pc.is_null(self.rows(keys)).to_numpy(False)

    def rows(self, keys: pa.Array) -> pa.Array:
        """The images' rows (n,) in `column`, null where there is none."""
        return pc.index_in(keys, value_set=self.column("key"))

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all tables, none of them copied."""
        chunks = [chunk for table in self.tables for chunk in table[name].chunks]
        return pa.chunked_array(chunks, SCHEMA.field(name).type)

    def add(self, table: pa.Table) -> None:
        """Add a shard's table, and write it to the folder atomically.

        Raises `UserError` where that cannot be done (a full disk).
        """
        self.tables.append(table)
        if self.folder is None:
            return
        data = io.BytesIO()
        pq.write_table(table, data)
        fix = f"make room there, or name another folder with {CACHE}: what is kept already is not computed again"
        write_bytes(self.folder / _file_name(data.getvalue()), data.getvalue(), fix)


def _read_tables(folder: Path) -> Iterable[pa.Table]:
    for file in sorted(folder.glob("shard-*.parquet")):
        with contextlib.suppress(Unreadable):  # one that cannot be read, or is none of ours
            if file.name == _file_name(read_bytes(file)):
                yield read_parquet(file, schema=SCHEMA)


def _file_name(data: bytes) -> str:
    return f"shard-{hashlib.sha256(data).hexdigest()[:24]}.parquet"
