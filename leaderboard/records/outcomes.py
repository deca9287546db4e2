"""The outcomes of a run on disk: streamed in parts, joined when all edits are judged.

``samples.parquet``   one row an image (split, sha256, label, group, subset, drawing, base prediction)
``outcomes.parquet``  one row an edit (its sample, steps, seconds, failure, predictions on its group and D_l)

Scores are made from these two files alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmark.core.arrays import read_parquet
from benchmark.core.files import replacing
from benchmark.core.readers import Unreadable, parse_json
from benchmark.core.text import printable
from benchmark.data.dataset import Benchmark
from benchmark.labels.columns import UNKNOWN
from benchmark.labels.imagenet import CLASSES

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
SAMPLES = pa.schema(
    [
        ("split", pa.string()),  # "edit" or "locality"
        ("sha256", pa.string()),
        ("label", pa.int64()),
        ("group_id", pa.string()),
        ("group", pa.string()),
        ("subset", pa.string()),
        ("drawing", pa.string()),
        ("base", pa.int16()),  # the unedited base's prediction
    ]
)
CLASSES_IN = ("label", "base", "group_predictions", "locality_predictions")  # or -1: unknown, or no prediction
SPLITS = ("edit", "locality")
FIX = "score that run again: delete its folder and run leaderboard.submit"
JOINED = "outcomes.parquet"
PARTS = "parts"
HASH = "rows_sha256"  # key in the metadata of a file of outcomes
PASSES = "two_pass"  # another key: a list of the counts of each edit
REASONS = 5  # of failed edits, that are counted, each up to LONGEST characters
LONGEST = 200
TIMES = ("seconds", "score_seconds")  # not part of the hash: they differ from run to run


@dataclass(frozen=True)
class Outcomes:
    """The two tables of one run."""

    samples: pd.DataFrame
    edits: pd.DataFrame

    def __repr__(self) -> str:
        return f"Outcomes({len(self.edits)} edits, {len(self.samples)} images)"


@dataclass
class Part:
    """The outcomes of the first edits of a batch: a row each and, of a run in two passes, the counts of each."""

    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    passes: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def extend(self, following: Part) -> None:
        """Add the outcomes of the edits that come next."""
        self.rows += following.rows
        self.passes += following.passes


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


def write_part(folder: Path, number: int, part: Part) -> None:
    """Write the outcomes of one batch of edits, or of the first of them; a later kill does not lose them."""
    _write(_part(folder, number), pa.Table.from_pylist(part.rows, SCHEMA), part.passes)


def parts_done(folder: Path, batches: Sequence[Sequence[int]]) -> list[int]:
    """The number of first edits of each batch that are on disk, of the samples that `batches` has for them."""
    return [_count_intact(_part(folder, number), samples) for number, samples in enumerate(batches)]


def read_part(folder: Path, number: int) -> Part:
    """The outcomes of one batch that are on disk, which `parts_done` has checked."""
    table = read_parquet(_part(folder, number), FIX, schema=SCHEMA)
    return Part(table.to_pylist(), _passes(table, _part(folder, number)))


def join_parts(folder: Path, count: int) -> None:
    """Write all batches, in order, as ``outcomes.parquet``, and delete the parts."""
    parts = [read_parquet(_part(folder, number), FIX, schema=SCHEMA) for number in range(count)]
    _write(folder / JOINED, pa.concat_tables(parts), [passes for part in parts for passes in _passes(part, folder)])
    discard_parts(folder)


def read_passes(folder: Path) -> list[dict[str, float]]:
    """The counts of two passes of each edit of a joined run; none where it had one pass."""
    path = folder / JOINED
    return _passes(read_parquet(path, FIX, schema=SCHEMA), path)


def _passes(table: pa.Table, path: Path) -> list[dict[str, float]]:
    from pydantic import ValidationError

    from leaderboard.records.sections import TwoPassSection

    written = (table.schema.metadata or {}).get(PASSES.encode())
    if written is None:
        return []
    try:
        edits = parse_json(written, path, FIX)["edits"]
        return [TwoPassSection.model_validate(counts).model_dump() for counts in edits]
    except (KeyError, TypeError, ValidationError) as error:
        raise Unreadable(path, "holds other counts of two passes than a run writes", FIX) from error


def are_joined(folder: Path, samples: Sequence[int]) -> bool:
    """Return whether ``outcomes.parquet`` is there, whole and of these samples in this order."""
    return _count_intact(folder / JOINED, samples) == len(samples)


def discard_parts(folder: Path) -> None:
    """Delete the parts, also those that a kill left behind while they were deleted."""
    if (folder / PARTS).is_dir():
        shutil.rmtree(folder / PARTS)


def _part(folder: Path, number: int) -> Path:
    return folder / PARTS / f"{number:06d}.parquet"


def _write(path: Path, table: pa.Table, passes: Sequence[Mapping[str, float]]) -> None:
    """Write rows with their hash, by which `_count_intact` knows them."""
    metadata = {HASH: _hash([table.to_pandas()]), **({PASSES: json.dumps({"edits": passes})} if passes else {})}
    table = table.combine_chunks().replace_schema_metadata(metadata)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _count_intact(path: Path, samples: Sequence[int]) -> int:
    """The number of these samples, from the first on, whose outcomes, and no others, a file holds as written."""
    try:
        table = read_parquet(path, schema=SCHEMA)
    except Unreadable:  # not there, or damaged
        return 0
    if table["sample"].to_pylist() != list(samples[: len(table)]):
        return 0
    intact = (table.schema.metadata or {}).get(HASH.encode()) == _hash([table.to_pandas()]).encode()
    return len(table) if intact else 0


def read(folder: Path, sha256: str | None = None) -> Outcomes:
    """The outcomes of a finished run, checked; with the hash that its record gives, they are those of the record.

    Raises `Unreadable` for tables that no run writes: other columns or types, classes that are none, predictions that
    are not one an image, samples of another group.
    """
    tables = []
    for name, schema in (("samples.parquet", SAMPLES), (JOINED, SCHEMA)):
        tables.append(read_parquet(folder / name, FIX, columns=schema.names))
        _check_columns(tables[-1], schema, folder / name)
    result = Outcomes(*(table.to_pandas() for table in tables))
    if problem := _find_problem(result):
        raise Unreadable(folder / JOINED, f"{problem}, as in no run", FIX)
    if sha256 is not None and digest(result) != sha256:
        raise Unreadable(folder / JOINED, "other outcomes than those of its record", FIX)
    return result


def _check_columns(table: pa.Table, schema: pa.Schema, path: Path) -> None:
    """Raise `Unreadable` for columns of other types, of classes that are none, and with nothing where a value must be.

    Columns of text may be of Arrow's long kind, and the integers of tables written otherwise of another width.
    """
    optional = {"failure", "group_id", "group", "subset", "drawing"}  # images of D_l are in no group
    for field in schema:
        column = table[field.name]
        if not (column.type == field.type or _kind(column.type) == _kind(field.type)):
            raise Unreadable(path, f"the column {field.name} holds {column.type} and not {field.type}", FIX)
        if column.null_count and field.name not in optional:
            raise Unreadable(path, f"{column.null_count:,} cells of the column {field.name} are empty", FIX)
        values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
        if values.null_count and values is not column:
            raise Unreadable(path, f"the column {field.name} holds lists with empty places", FIX)
        if field.name in CLASSES_IN and len(values):
            low, high = pc.min_max(values).as_py().values()
            if not UNKNOWN <= low <= high < CLASSES:
                value = low if low < UNKNOWN else high
                raise Unreadable(path, f"the column {field.name} holds {value}, which is no class of ImageNet-1k", FIX)


def _kind(data_type: pa.DataType) -> str:
    if pa.types.is_string(data_type) or pa.types.is_large_string(data_type) or pa.types.is_null(data_type):
        return "text"
    return "whole numbers" if pa.types.is_integer(data_type) else str(data_type)


def _find_problem(outcomes: Outcomes) -> str:
    """The first way in which the tables of a run do not belong together, in words; empty if they do."""
    samples, edits = outcomes.samples, outcomes.edits
    if not set(samples["split"]) <= set(SPLITS):
        return "a split that is neither edit nor locality"
    group_of_sample = samples.loc[samples["split"] == "edit", "group_id"].to_numpy()
    n_locality, n_samples = int((samples["split"] == "locality").sum()), len(group_of_sample)
    sizes = pd.Series(group_of_sample).value_counts()
    if not len(edits):
        return "no edit"
    if not np.isfinite(edits[list(TIMES)].to_numpy()).all() or (edits[[*TIMES, "steps"]] < 0).any(axis=None):
        return "a time or number of steps that is none"
    for edit in edits.itertuples():
        rows = np.array([edit.sample, *edit.partners])
        if rows.min() < 0 or rows.max() >= n_samples:
            return f"an edit of sample {rows.max()} among {n_samples:,}"
        if (group_of_sample[rows] != edit.group_id).any():
            return f"an edit of the group {edit.group_id} with a sample of another"
        if len(edit.group_predictions) != sizes[edit.group_id] or len(edit.locality_predictions) != n_locality:
            return f"an edit of the group {edit.group_id} whose predictions are not one an image"
    if edits["sample"].duplicated().any():
        return "two edits of one sample"
    return ""


def count_edits(folder: Path) -> int:
    """Number of edits whose outcomes a run that is going on has on disk."""
    counts = []
    for file in [folder / JOINED] if (folder / JOINED).is_file() else (folder / PARTS).glob("*.parquet"):
        with contextlib.suppress(Unreadable):  # a damaged one is made again
            counts.append(len(read_parquet(file, columns=["sample"])))
    return sum(counts)


def count_failures(outcomes: Outcomes) -> dict[str, int]:
    """The commonest reasons for failed edits, on one short line each, with their counts."""
    reasons = outcomes.edits["failure"].dropna().map(lambda reason: printable(" ".join(reason.split()))[:LONGEST])
    return {reason: int(count) for reason, count in reasons.value_counts().head(REASONS).items()}


def digest(outcomes: Outcomes) -> str:
    """Hex SHA-256 over both tables' values, times left out, so that a repeated run has the same."""
    return _hash([outcomes.samples, outcomes.edits])


def _hash(tables: Iterable[pd.DataFrame]) -> str:
    result = hashlib.sha256()
    for table in tables:
        for name in sorted({*table.columns}.difference(TIMES)):
            result.update(f"{name}\n".encode())
            for value in table[name]:
                if isinstance(value, np.ndarray):
                    result.update(value.astype("<i2").tobytes())
                else:
                    result.update(f"{None if pd.isna(value) else value}\n".encode())
    return result.hexdigest()
