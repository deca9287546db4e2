"""Pools in parquet files and in data sets of the Hub."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images import tables
from benchmark.images.decode import BrokenImage
from benchmark.images.open import open_pool


def encoded(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, reds: range, rows: int = 3) -> Path:
    """A file as `datasets` writes it, `rows` a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"label": [*reds], "image": [{"bytes": encoded(red), "path": None} for red in reds]})
    pq.write_table(table, path, row_group_size=rows)
    return path


def test_parquet_files_of_a_folder_are_one_pool(tmp_path: Path) -> None:
    write(tmp_path / "data" / "b.parquet", range(7, 9))
    write(tmp_path / "data" / "a.parquet", range(7))
    write(tmp_path / ".cache" / "c.parquet", range(1))
    pool = open_pool(tmp_path)
    assert len(pool) == 9 and len({*pool.stamps}) == 9
    assert pool.ids == [*[f"data/a.parquet#{row}" for row in range(7)], "data/b.parquet#0", "data/b.parquet#1"]
    for position in (8, 0, 6, 3, 2, 7, 5, 4, 1):
        assert pool.open(position).getpixel((0, 0)) == (position, 0, 0)
        assert pool.read(position) == encoded(position)


def test_only_a_few_row_groups_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = open_pool(write(tmp_path / "a.parquet", range(12)))
    read = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *a, **k: read.append(a[1]) or whole(*a, **k))
    for position in range(12):
        pool.read(position)
    assert read == [0, 1, 2, 3]
    assert tables._row_group.cache_info().currsize <= tables.ROW_GROUPS


def test_a_parquet_file_signs_its_contents(tmp_path: Path) -> None:
    pool = open_pool(write(tmp_path / "a.parquet", range(3)))
    assert pool.open(0).getpixel((0, 0)) == (0, 0, 0)
    other = open_pool(write(tmp_path / "a.parquet", range(5, 8)))
    assert pool.signature != other.signature and not {*pool.stamps} & {*other.stamps}
    assert other.open(0).getpixel((0, 0)) == (5, 0, 0)


def test_a_column_of_bytes_and_an_empty_cell(tmp_path: Path) -> None:
    table = pa.table({"thumbnail": [b"", b""], "jpg": [encoded(4), None]})
    pq.write_table(table, tmp_path / "a.parquet")
    pool = open_pool(tmp_path / "a.parquet")
    assert pool.open(0).getpixel((0, 0)) == (4, 0, 0)
    with pytest.raises(BrokenImage, match="no bytes"):
        pool.open(1)


def test_a_path_in_a_parquet_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(encoded(1))
    cell = {"bytes": None, "path": str(tmp_path / "private.png")}
    pq.write_table(pa.table({"image": pa.array([cell], pa.struct({"bytes": pa.binary(), "path": pa.string()}))}),
                   tmp_path / "a.parquet")  # fmt: skip
    with pytest.raises(BrokenImage, match="no bytes"):
        open_pool(tmp_path / "a.parquet").read(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("text"), "not a parquet file"),
        (lambda path: pq.write_table(pa.table({"label": [1], "name": ["x"]}), path), "there is label, name"),
        (lambda path: pq.write_table(pa.table({"image": pa.array([], pa.binary())}), path), "no images in it"),
    ],
)
def test_parquet_without_images_is_an_error(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=message):
        open_pool(tmp_path / "a.parquet")


def test_a_data_set_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    # `load_dataset` takes a folder of that name before it asks the Hub: the same code, offline.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "ns" / "photos" / "data" / "train-00000.parquet", range(2))
    write(tmp_path / "ns" / "photos" / "data" / "test-00000.parquet", range(2, 5))
    pool = tables.hub_pool("ns/photos")
    assert pool.ids == ["train/0", "train/1", "test/0", "test/1", "test/2"]
    assert pool.title == "ns/photos" and len({*pool.stamps}) == len(pool) == 5
    assert [pool.open(position).getpixel((0, 0))[0] for position in range(5)] == [0, 1, 2, 3, 4]
    assert tables.hub_pool("ns/photos").stamps == pool.stamps
    assert tables.hub_pool("ns/photos:test").ids == pool.ids[2:]
    with pytest.raises(UserError, match="no split valid; it has train, test"):
        tables.hub_pool("ns/photos:valid")
    folder = open_pool("ns/photos")  # a folder goes before the Hub
    assert folder.ids[0] == "data/test-00000.parquet#0"


def test_a_data_set_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    def offline(name: str) -> None:
        raise ConnectionError(f"Couldn't reach '{name}' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(UserError, match=r"no folder here, and no data set that can be had .*OfflineModeIsEnabled"):
        open_pool("ns/nowhere")
