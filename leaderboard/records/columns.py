"""The columns of a run's two tables, and the check that a file has them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from benchmark.core.readers import Unreadable
from benchmark.data.scored import EDIT, FAR, LOCALITY, TAKEN
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
PREDICTIONS = {
    EDIT: "group_predictions",
    LOCALITY: "locality_predictions",
    TAKEN: "taken_predictions",  # over the images of the class that the base took its sample for, in their order
    FAR: "far_predictions",
}  # columns by split; the last two only where the data set has these splits
SAMPLES = pa.schema(
    [
        ("split", pa.string()),  # a key of PREDICTIONS
        ("sha256", pa.string()),
        ("label", pa.int64()),
        ("group_id", pa.string()),
        ("group", pa.string()),
        ("subset", pa.string()),
        ("drawing", pa.string()),
        ("base", pa.int16()),  # the unedited base's prediction
    ]
)
CLASSES_IN = ("label", "base", *PREDICTIONS.values())  # or -1: unknown, or no prediction
TIMES = ("seconds", "score_seconds")  # not part of the hash: they differ from run to run
FIX = "score that run again: delete its folder and run leaderboard.submit"


def schema_of(columns: Collection[str]) -> pa.Schema:
    """The columns of every run, and those of `columns` that only some have."""
    further = [column for column in PREDICTIONS.values() if column in columns and column not in SCHEMA.names]
    return pa.schema([*SCHEMA, *((column, pa.list_(pa.int16())) for column in further)])


def check_columns(table: pa.Table, schema: pa.Schema, path: Path) -> None:
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
