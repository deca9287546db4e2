"""The place of a run's table of images: beside its outcomes or, for runs that are kept together, once for all of them.

``FOLDER/RUN/samples.parquet``                a run on somebody's disk is complete on its own
``FOLDER/samples/HASH.parquet``               committed results: the record of each run names the hash
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.core.readers import Unreadable, read_json

SAMPLES_FILE = "samples.parquet"
SHARED = "samples"  # folder beside those of runs, or beside the folder that holds them
SHA256 = r"[0-9a-f]{64}"


def find_samples(folder: Path) -> Path:
    """The file of the images of the run in `folder`; the one beside its outcomes, if neither is there."""
    own = folder / SAMPLES_FILE
    if own.is_file():
        return own
    hash_of_run = _recorded_hash(folder)
    places = [parent / SHARED / f"{hash_of_run}.parquet" for parent in folder.absolute().parents[:2]]
    return next((place for place in places if hash_of_run and place.is_file()), own)


def _recorded_hash(folder: Path) -> str:
    """The hash of the images that the run's record names; empty for a record that names none."""
    try:
        named = read_json(folder / "record.json")["outcomes"]["samples_sha256"]
    except (Unreadable, KeyError, TypeError):
        return ""
    return named if isinstance(named, str) and re.fullmatch(SHA256, named) else ""  # it becomes part of a path
