"""One split of a data set in the Hub's layout, checked: its shards, its images' hashes, its labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from benchmark.core.arrays import read_parquet
from benchmark.core.errors import UserError
from benchmark.core.readers import Unreadable, parse_json
from benchmark.data.hub import describe
from benchmark.images.cells import embedded_bytes, given_paths, image_column
from benchmark.images.memory import CellImages, EncodedImages
from benchmark.images.shards import check_shards, verify
from benchmark.labels.columns import read_labels

NEEDED = ("group_id", "image", "label", "sha256", "subset")


def read_rows(folder: Path, split: str) -> tuple[pd.DataFrame, EncodedImages]:
    """The table of a split, without its images, and the images, which stay encoded; see `dataset.read_split`."""
    files = sorted(folder.glob(f"{split}-*.parquet"))
    if not files:
        raise UserError(f"{folder}: no {split}-*.parquet there; is this a data set in the Hub's layout?")
    check_shards(files)
    tables = [read_parquet(file, "fetch or build it again", memory_map=True) for file in files]
    first = tables[0].schema
    for file, table in zip(files, tables, strict=True):
        if not table.schema.equals(first) or class_names(table.schema, "label") != class_names(first, "label"):
            raise UserError(f"{folder}: {file.name} has other columns than {files[0].name}; take one of them away")
    missing = [name for name in NEEDED if name not in first.names]
    if missing:
        raise UserError(f"{folder}: the {split} split lacks the column {missing[0]}; build it again")
    for name in ("group_id", "sha256", "subset"):
        if not _is_text(first.field(name).type):
            raise UserError(f"{folder}: the column {name} of the {split} split holds no text; build it again")
    if image_column(first, f"{folder}, split {split}") != "image":
        raise UserError(f"{folder}: the column image of the {split} split holds no images; build it again")
    folders = (folder, folder.parent)
    table = pa.concat_tables(tables)
    _check_pixels(table["image"], folder, split)
    for file in files:
        verify(file, folders)
    labels = read_labels(table["label"].to_pylist(), f"{folder}, split {split}", class_names(first, "label"))
    rows = table.drop_columns(["image"]).to_pandas().assign(label=labels)
    if "group" not in rows:
        rows["group"] = rows["group_id"]  # a group without a name is called by its id
    title, hashes = f"{folder}/{split}", rows["sha256"].tolist()
    encoded = pa.chunked_array([embedded_bytes(chunk) for chunk in table["image"].chunks])
    if encoded.null_count:
        return rows, CellImages(title, hashes, table["image"], labels, folders)
    return rows, EncodedImages(title, hashes, encoded, labels)


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of a ``ClassLabel``, as `datasets` notes them in a file; None for any other column."""
    try:
        features = parse_json((schema.metadata or {})[b"huggingface"], "its schema")["info"]["features"]
        names = features[column].get("names")
    except (KeyError, TypeError, AttributeError, Unreadable):  # of another writer
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def _is_text(data_type: pa.DataType) -> bool:
    """True for text, also where each value is stored once, and for a column of nulls."""
    kind = data_type.value_type if pa.types.is_dictionary(data_type) else data_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def _check_pixels(cells: pa.ChunkedArray, folder: Path, split: str) -> None:
    no_bytes = sum(int(embedded_bytes(chunk).null_count) for chunk in cells.chunks)
    empty = no_bytes - sum(path is not None for path in given_paths(cells)) if no_bytes else 0
    if empty:
        raise UserError(
            f"{folder}: {empty:,} of {len(cells):,} rows of the {split} split were published without pixels; fill them "
            f"in from your own copies: python -m benchmark.hydrate {describe(folder.parent)} --help"
        )
