"""What `benchmark.predict.engine` computes and keeps: parts of a pool, and tables of what one model said of each.

A model has a folder of its own, ``part-*.parquet`` in it; all of them together read as one table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.core.errors import UserError
from benchmark.core.files import replacing
from benchmark.core.versions import library_versions
from benchmark.models.load import BaseModel

SIZE = 512  # images a part
PROTOCOL = "predict-2"
SCHEMA = pa.schema(
    {"key": pa.string(), "error": pa.string(), "label": pa.int64(), "probability": pa.float32(), "margin": pa.float32()}
)


@dataclass(frozen=True)
class Part:
    """Positions (n,) in a pool, n <= `SIZE`, their keys, and which of the models (by number) are to be asked."""

    positions: np.ndarray
    keys: pa.Array
    models: tuple[int, ...]


def keys(stamps: Iterable[str]) -> pa.Array:
    """A hash of each image's stamp: stamps may be long, and are no Unicode where file names are not."""
    hashed = (hashlib.blake2b(stamp.encode("utf-8", "surrogateescape"), digest_size=16) for stamp in stamps)
    return pa.array((one.hexdigest() for one in hashed), pa.string())


def model_key(model: BaseModel, batch_size: int, draft: int | None) -> str:
    """A hash of all but the image that could change what a model says of it; its name could not."""
    facts = {
        "protocol": PROTOCOL,
        "model": model.identity,
        "computed": [model.device.type, batch_size, draft],
        "libraries": library_versions(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def cut(keys: pa.Array, missing: np.ndarray) -> list[Part]:
    """What is `missing` (models, images), cut into parts; an image that is there twice is asked about once.

    The pool is cut at multiples of `SIZE`. Slices of which nothing is known are parts as they are, whatever
    was done before them, so that a resumed run makes the batches of an uninterrupted one; what is missing here
    and there, as in a pool that has grown, is gathered.
    """
    hashes = keys.to_pandas()
    code = missing.T @ (1 << np.arange(len(missing))) if len(missing) else np.zeros(len(keys), np.int64)
    code[hashes.duplicated().to_numpy()] = 0
    slices = np.arange(len(keys)) // SIZE
    parts = []
    for one in np.unique(code[code > 0]).tolist():
        wanted = code == one
        whole = np.bincount(slices, wanted) == np.bincount(slices)
        gathered = np.flatnonzero(wanted & ~whole[slices])
        starts = [int(number) * SIZE for number in np.flatnonzero(whole)]
        chunks = [np.arange(start, min(start + SIZE, len(keys))) for start in starts]
        chunks += [gathered[start : start + SIZE] for start in range(0, len(gathered), SIZE)]
        asked = tuple(number for number in range(len(missing)) if one >> number & 1)
        parts += [Part(chunk, keys.take(pa.array(chunk)), asked) for chunk in chunks]
    return parts


def table(keys: pa.Array, errors: Sequence[str], good: np.ndarray, *fields: np.ndarray) -> pa.Table:
    """What one model said of one part, as `SCHEMA` has it.

    Args:
        keys: (n,) of the images.
        errors: (n,) why an image was skipped, else empty.
        good: (n,) bool, the k images that were not.
        fields: label, probability and margin of those, (k,) each; the others get -1, 0 and 0.
    """
    columns: list[pa.Array] = [keys, pa.array(errors, pa.string())]
    for kind, values, missing in zip(list(SCHEMA)[2:], fields, (-1, 0, 0), strict=True):
        filled = np.full(len(good), missing, dtype=kind.type.to_pandas_dtype())
        filled[good] = values
        columns.append(pa.array(filled))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def kept(folder: Path | None) -> list[pa.Table]:
    """The tables in a model's folder, if there is one."""
    found = []
    for file in sorted(folder.glob("part-*.parquet")) if folder is not None else ():
        try:
            found.append(pq.read_table(file, schema=SCHEMA))
        except (OSError, pa.ArrowException):  # damaged, or not ours
            continue
    return found


def column(tables: Sequence[pa.Table], name: str) -> pa.ChunkedArray:
    """One column of several tables, none of them copied."""
    return pa.chunked_array([chunk for table in tables for chunk in table[name].chunks], SCHEMA.field(name).type)


def write(folder: Path, table: pa.Table) -> None:
    """Keep a table in a model's folder, atomically. Raises `UserError` where that cannot be done (a full disk)."""
    name = hashlib.sha256("".join(table["key"].to_pylist()).encode()).hexdigest()[:24]
    try:
        with replacing(folder / f"part-{name}.parquet") as temporary:
            pq.write_table(table, temporary)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"predictions cannot be kept in {folder.parent} ({reason}); make room there, or name another folder: "
            "what is kept already is not computed again"
        ) from error
