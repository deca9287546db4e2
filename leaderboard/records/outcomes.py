"""The outcomes of a run on disk: streamed in parts, joined when all edits are judged.

``samples.parquet``   one row an image (split, sha256, label, group, subset, drawing, base prediction)
``outcomes.parquet``  one row an edit (its sample, steps, seconds, failure, predictions on its group and D_l)

Scores are made from these two files alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.core.files import replacing
from benchmark.data.dataset import Benchmark

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),  # row among the editing samples
        ("partners", pa.list_(pa.int32())),  # rows of those it was edited together with; as a rule none
        ("group_id", pa.string()),
        ("steps", pa.int32()),
        ("seconds", pa.float64()),  # editing, this edit's share of its batch
        ("score_seconds", pa.float64()),
        ("failure", pa.string()),
        ("scored", pa.string()),  # "tail", "full" (every block again) or "called" (a module, as it is)
        ("group_predictions", pa.list_(pa.int16())),  # over the images of its group, in their order
        ("locality_predictions", pa.list_(pa.int16())),
    ]
)
TIMES = ("seconds", "score_seconds")  # not part of the hash: they differ from run to run


@dataclass(frozen=True)
class Outcomes:
    """The two tables of one run."""

    samples: pd.DataFrame
    edits: pd.DataFrame


def sample_table(benchmark: Benchmark, base_edit: np.ndarray, base_locality: np.ndarray) -> pd.DataFrame:
    """The images of a run and the unedited base's predictions for them (top-1 by full forward)."""
    tables = []
    for split, samples, predictions in (
        ("edit", benchmark.edit, base_edit),
        ("locality", benchmark.locality, base_locality),
    ):
        table = samples.table.reindex(columns=["sha256", "label", "group_id", "group", "subset"])
        tables.append(table.assign(drawing=samples.drawings, split=split, base=predictions))
    return pd.concat(tables, ignore_index=True)


def write_part(folder: Path, number: int, rows: list[dict[str, Any]]) -> None:
    """Write the outcomes of one batch of edits; a later kill does not lose them."""
    with replacing(folder / "parts" / f"{number:06d}.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary, compression="zstd")


def parts_done(folder: Path) -> set[int]:
    """Numbers of the batches that are on disk."""
    return {int(file.stem) for file in (folder / "parts").glob("[0-9]*.parquet")}


def join_parts(folder: Path, count: int) -> None:
    """Write all batches, in order, as ``outcomes.parquet``, and delete the parts."""
    files = [folder / "parts" / f"{number:06d}.parquet" for number in range(count)]
    with replacing(folder / "outcomes.parquet") as temporary:
        table = pa.concat_tables([pq.read_table(file) for file in files])
        pq.write_table(table.combine_chunks(), temporary, compression="zstd")
    for file in files:
        file.unlink()
    (folder / "parts").rmdir()


def read(folder: Path) -> Outcomes:
    """The outcomes of a finished run."""
    return Outcomes(pd.read_parquet(folder / "samples.parquet"), pd.read_parquet(folder / "outcomes.parquet"))


def digest(outcomes: Outcomes) -> str:
    """Hex SHA-256 over both tables' values, times left out, so that a repeated run has the same."""
    result = hashlib.sha256()
    for table in (outcomes.samples, outcomes.edits.drop(columns=list(TIMES))):
        for name in sorted(table.columns):
            result.update(f"{name}\n".encode())
            for value in table[name]:
                if isinstance(value, np.ndarray):
                    result.update(value.astype("<i2").tobytes())
                else:
                    result.update(f"{None if pd.isna(value) else value}\n".encode())
    return result.hexdigest()
