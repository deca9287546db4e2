"""The outcomes of a run on disk: streamed in parts, joined when all edits are judged.

``samples.parquet``   one row an image (split, sha256, label, group, subset, drawing, base prediction)
``outcomes.parquet``  one row an edit (its sample, steps, seconds, failure, predictions on all that it is judged on)

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
import pyarrow.parquet as pq

from benchmark.core.arrays import open_parquet, read_parquet
from benchmark.core.files import replacing
from benchmark.core.readers import Unreadable, parse_json, read_json
from benchmark.core.text import printable
from benchmark.data.dataset import Benchmark
from benchmark.data.scored import EDIT, LOCALITY, TAKEN
from leaderboard.records.columns import FIX, PREDICTIONS, SAMPLES, SCHEMA, TIMES, check_columns, schema_of
from leaderboard.records.samples import SAMPLES_FILE, SHARED, find_samples

JOINED = "outcomes.parquet"
PARTS = "parts"
HASH = "rows_sha256"  # key in the metadata of a file of outcomes
PASSES = "two_pass"  # another key: a list of the counts of each edit
REASONS = 5  # of failed edits, that are counted, each up to LONGEST characters
LONGEST = 200
SMALLEST = 19  # of zstd: a quarter smaller than its default, and a file takes milliseconds


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
    """The images of a run and the unedited base's predictions for them (top-1 by full forward).

    Of `locality_taken` and `locality_far`, a base's benchmark holds what it gets right: predictions are the labels.
    """
    predictions = {EDIT: base_edit, LOCALITY: base_locality}
    tables = []
    for split, samples in benchmark.splits.items():
        table = samples.table.reindex(columns=["sha256", "label", "group_id", "group", "subset"])
        base = predictions.get(split, samples.labels).astype(np.int16)
        tables.append(table.assign(drawing=samples.drawings, split=split, base=base))
    return pd.concat(tables, ignore_index=True)


def _read_edits(path: Path) -> pa.Table:
    """A file of outcomes, with the columns that it has of `PREDICTIONS`."""
    with open_parquet(path, FIX) as opened:
        columns = opened.schema_arrow.names
    return read_parquet(path, FIX, schema=schema_of(columns))


def taken_images(outcomes: Outcomes) -> np.ndarray:
    """True for images of `locality_taken` of the class that the base took each edit's sample for, (edits, n) bool.

    An edit is judged on these alone.
    """
    split = outcomes.samples["split"]
    base = outcomes.samples.loc[split == EDIT, "base"].to_numpy()
    labels = outcomes.samples.loc[split == TAKEN, "label"].to_numpy()
    of_class: np.ndarray = base[outcomes.edits["sample"].to_numpy()][:, None] == labels
    return of_class


def write_part(folder: Path, number: int, part: Part) -> None:
    """Write the outcomes of one batch of edits, or of the first of them; a later kill does not lose them."""
    _write(_part(folder, number), pa.Table.from_pylist(part.rows, schema_of(part.rows[0])), part.passes)


def parts_done(folder: Path, batches: Sequence[Sequence[int]]) -> list[int]:
    """The number of first edits of each batch that are on disk, of the samples that `batches` has for them."""
    return [_count_intact(_part(folder, number), samples) for number, samples in enumerate(batches)]


def read_part(folder: Path, number: int) -> Part:
    """The outcomes of one batch that are on disk, which `parts_done` has checked."""
    table = _read_edits(_part(folder, number))
    return Part(table.to_pylist(), _passes(table, _part(folder, number)))


def join_parts(folder: Path, count: int) -> None:
    """Write all batches, in order, as ``outcomes.parquet``, and delete the parts."""
    parts = [_read_edits(_part(folder, number)) for number in range(count)]
    _write(folder / JOINED, pa.concat_tables(parts), [passes for part in parts for passes in _passes(part, folder)])
    discard_parts(folder)


def read_passes(folder: Path) -> list[dict[str, float]]:
    """The counts of two passes of each edit of a joined run; none where it had one pass."""
    path = folder / JOINED
    return _passes(_read_edits(path), path)


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
        pq.write_table(table, temporary, compression="zstd", compression_level=SMALLEST)


def _count_intact(path: Path, samples: Sequence[int]) -> int:
    """The number of these samples, from the first on, whose outcomes, and no others, a file holds as written."""
    try:
        table = _read_edits(path)
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
    tables, samples_file = [], find_samples(folder)
    for path in (samples_file, folder / JOINED):
        with open_parquet(path, FIX) as opened:
            schema = SAMPLES if path is samples_file else schema_of(opened.schema_arrow.names)
        tables.append(read_parquet(path, FIX, columns=schema.names))
        check_columns(tables[-1], schema, path)
    result = Outcomes(*(table.to_pandas() for table in tables))
    if samples_file.name != SAMPLES_FILE and hash_samples(result.samples) != samples_file.stem:
        raise Unreadable(samples_file, "holds other images than its name says", FIX)
    if problem := _find_problem(result):
        raise Unreadable(folder / JOINED, f"{problem}, as in no run", FIX)
    if sha256 is not None and digest(result) != sha256:
        raise Unreadable(folder / JOINED, "other outcomes than those of its record", FIX)
    return result


def _find_problem(outcomes: Outcomes) -> str:
    """The first way in which the tables of a run do not belong together, in words; empty if they do."""
    samples, edits = outcomes.samples, outcomes.edits
    if not set(samples["split"]) <= PREDICTIONS.keys():
        return f"a split that is neither {' nor '.join(PREDICTIONS)}"
    counts = {column: int((samples["split"] == split).sum()) for split, column in PREDICTIONS.items()}
    if any((column in edits) != (counts[column] > 0) for column in counts if column not in SCHEMA.names):
        return "predictions of a split without images, or none of one with images"
    group_of_sample = samples.loc[samples["split"] == EDIT, "group_id"].to_numpy()
    n_samples = len(group_of_sample)
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
        if len(edit.group_predictions) != sizes[edit.group_id]:
            return f"an edit of the group {edit.group_id} whose predictions are not one an image"
    for split, column in PREDICTIONS.items():
        if split == EDIT or column not in edits:
            continue
        expected = taken_images(outcomes).sum(1) if split == TAKEN else [counts[column]] * len(edits)
        if edits[column].map(len).tolist() != [*expected]:
            return f"an edit whose predictions of {split} are not one an image"
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


def hash_samples(samples: pd.DataFrame) -> str:
    """Hex SHA-256 over the values of a table of images."""
    return _hash([samples])


def share_samples(folder: Path, into: Path) -> Path:
    """Move the images of the finished run in `folder` to where others find them, too; return that file.

    `into` is the folder that holds the run's, or the one above. Raises `Unreadable` for a run that is damaged, and for
    one whose record does not name their hash.
    """
    hash_of_run = hash_samples(read(folder).samples)
    shared = into / SHARED / f"{hash_of_run}.parquet"
    if read_json(folder / "record.json", fix=FIX)["outcomes"].get("samples_sha256") != hash_of_run:
        raise Unreadable(folder / "record.json", "does not name the hash of its images", FIX)
    if not shared.is_file():
        with replacing(shared) as temporary:
            shutil.copyfile(folder / SAMPLES_FILE, temporary)
    (folder / SAMPLES_FILE).unlink(missing_ok=True)
    return shared


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
