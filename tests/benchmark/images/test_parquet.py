"""Images in parquet files."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images import parquet
from benchmark.images.decode import BrokenImage
from benchmark.images.open import open_images


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
    pool = open_images(tmp_path)
    assert len(pool) == 9 and len({*pool.stamps}) == 9
    assert pool.ids == [*[f"data/a.parquet#{row}" for row in range(7)], "data/b.parquet#0", "data/b.parquet#1"]
    for position in (8, 0, 6, 3, 2, 7, 5, 4, 1):
        assert pool.open(position).getpixel((0, 0)) == (position, 0, 0)
        assert pool.read(position) == encoded(position)


def test_only_a_few_row_groups_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = open_images(write(tmp_path / "a.parquet", range(12)))
    read = []
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *a, **k: read.append(a[1]) or whole(*a, **k))
    for position in range(12):
        pool.read(position)
    assert read == [0, 1, 2, 3]
    assert parquet._read_row_group.cache_info().currsize <= parquet.ROW_GROUPS


def test_a_parquet_file_signs_its_contents(tmp_path: Path) -> None:
    pool = open_images(write(tmp_path / "a.parquet", range(3)))
    assert pool.open(0).getpixel((0, 0)) == (0, 0, 0)
    other = open_images(write(tmp_path / "a.parquet", range(5, 8)))
    assert pool.signature != other.signature and not {*pool.stamps} & {*other.stamps}
    assert other.open(0).getpixel((0, 0)) == (5, 0, 0)


def test_a_column_of_bytes_and_an_empty_cell(tmp_path: Path) -> None:
    table = pa.table({"thumbnail": [b"", b""], "jpg": [encoded(4), None]})
    pq.write_table(table, tmp_path / "a.parquet")
    pool = open_images(tmp_path / "a.parquet")
    assert pool.open(0).getpixel((0, 0)) == (4, 0, 0)
    with pytest.raises(BrokenImage, match="no bytes"):
        pool.open(1)


def test_a_path_in_a_parquet_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(encoded(1))
    cell = {"bytes": None, "path": str(tmp_path / "private.png")}
    pq.write_table(pa.table({"image": pa.array([cell], pa.struct({"bytes": pa.binary(), "path": pa.string()}))}),
                   tmp_path / "a.parquet")  # fmt: skip
    with pytest.raises(BrokenImage, match="no bytes"):
        open_images(tmp_path / "a.parquet").read(0)


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
        open_images(tmp_path / "a.parquet")
