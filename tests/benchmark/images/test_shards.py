"""The files of a data set: whole, of one set, and holding the bytes that they name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.core.errors import UserError
from benchmark.images import shards
from benchmark.images.shards import check_shards, verify
from tests.conftest import rows_of


@pytest.mark.parametrize(
    "names",
    [
        ["edit-00000-of-00001"],
        ["edit-natural-00000-of-00001", "edit-oil_painting-00001-of-00002", "edit-oil_painting-00000-of-00002"],
        ["train-00000-of-00001-0123456789abcdef"],
        ["train-00000", "train-a"],
        [],
    ],
)
def test_whole_sets(names: list[str]) -> None:
    check_shards([Path(f"{name}.parquet") for name in names])


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["edit-00000-of-00002"], "edit-00001-of-00002.parquet is missing"),
        (["edit-00001-of-00002"], "edit-00000-of-00002.parquet is missing"),
        (["a-00000-of-00003", "a-00002-of-00003"], "a-00001-of-00003.parquet is missing"),
        (["a-00000-of-99999999999999"], "a-00001-of-99999999999999.parquet is missing"),
        (["edit-00000-of-00001", "edit-00000-of-00002", "edit-00001-of-00002"], "shards of two sets"),
        (["a-00000-of-00001-0123456789abcdef", "a-00000-of-00001-fedcba9876543210"], "no shards of one set"),
        (["a-00000-of-00001", "a-00001-of-00001"], "no shards of one set"),
        (["a-00000-of-00000"], "no shards of one set"),
        (["edit-00000-of-00001", "edit-00000-of-00001 (1)"], "a copy of a shard"),
        (["edit-00000-of-00001", "edit-00000-of-00001-old"], "a copy of a shard"),
    ],
)
def test_sets_that_lack_or_mix_files(names: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        check_shards([Path(f"{name}.parquet") for name in names])


def test_what_is_no_file_is_refused_and_not_read(tmp_path: Path) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "waits-for-ever.parquet")
    (tmp_path / "folder.parquet").mkdir()
    for path in tmp_path.iterdir():
        with pytest.raises(UserError, match="must be a file"):
            check_shards([path])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five images and their hashes."""
    monkeypatch.setattr(shards, "TICK", 0)
    pq.write_table(pa.Table.from_pylist(rows_of({(None, "x"): 5}, seed=1)), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def flip(file: Path) -> None:
    """Change one pixel byte of the file, whose size and times of modification stay."""
    times, data = file.stat(), file.read_bytes()
    place = data.index(b"IDAT") + 12
    file.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_file_is_hashed_once_until_it_changes(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    time.sleep(0.02)  # a clock's tick: what is written within one has the same times
    verify(file, ())
    with monkeypatch.context() as patch:
        patch.setattr(shards, "embedded_bytes", lambda cells: pytest.fail("read again"))
        verify(file, ())
    flip(file)
    for _ in range(2):  # what is wrong is not remembered as right
        with pytest.raises(UserError, match=r"1 of 5 images are other bytes than their sha256 names \(first row 0\)"):
            verify(file, ())
    flip(file)
    verify(file, ())


def test_what_changed_just_now_is_not_remembered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "TICK", 60)
    verify(file, ())
    monkeypatch.setattr(shards, "embedded_bytes", lambda cells: pytest.fail("read again"))
    with pytest.raises(pytest.fail.Exception):
        verify(file, ())


def test_a_cache_that_cannot_be_written_only_forgets(file: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("VIT_EDIT_BENCH_CACHE", str(tmp_path / "a file"))
    verify(file, ())


@pytest.mark.parametrize("digest", ["0" * 64, None, "", 7])
def test_a_hash_that_is_none_is_wrong(file: Path, digest: object) -> None:
    table = pq.read_table(file)
    index = table.schema.get_field_index("sha256")
    pq.write_table(table.set_column(index, "sha256", pa.array([digest] * 5)), file)
    with pytest.raises(UserError, match="5 of 5 images are other bytes"):
        verify(file, ())


def test_a_table_without_hashes_claims_nothing(file: Path) -> None:
    pq.write_table(pq.read_table(file).drop_columns(["sha256"]), file)
    verify(file, ())
