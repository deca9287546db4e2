"""Images in parquet files."""

from __future__ import annotations

import io
import os
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


def path_cells(paths: list[str]) -> pa.Array:
    """Cells that give their images by path, as `datasets` writes them."""
    cells = [{"bytes": None, "path": path} for path in paths]
    return pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


LAYOUTS = {
    "struct": path_cells,
    "text": lambda paths: pa.array(paths),
    "text as bytes": lambda paths: pa.array([{"bytes": path, "path": path} for path in paths]),
    "path alone": lambda paths: pa.array([{"path": path} for path in paths]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_path_is_seen_from_the_folder_of_its_table_and_leads_nowhere_else(tmp_path: Path, layout: str) -> None:
    pool = tmp_path / "pool"
    (pool / "more").mkdir(parents=True)
    (pool / "more" / "a.png").write_bytes(encoded(1))
    (tmp_path / "private.png").write_bytes(encoded(2))
    (pool / "link.png").symlink_to(tmp_path / "private.png")
    os.mkfifo(pool / "waits-for-ever.png")
    outside = [str(tmp_path / "private.png"), "../private.png", "more/../../private.png", "link.png", "/dev/zero"]
    strange = ["waits-for-ever.png", "more", "no.png", "a\0b", "a" * 300, ""]
    paths = ["more/a.png", "more/../more/a.png", *outside, *strange]
    pq.write_table(pa.table({"image": LAYOUTS[layout](paths)}), pool / "a.parquet")
    for images in (open_images(pool / "a.parquet"), parquet.open_parquet(pool)):
        assert [images.read(position) for position in (0, 1)] == [encoded(1)] * 2
        for position in range(2, len(paths)):
            with pytest.raises(BrokenImage):
                images.read(position)


def test_an_image_by_path_has_another_stamp_once_it_has_changed(tmp_path: Path) -> None:
    """The table stays as it is, so that its own times say nothing of them."""
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encoded(1))
    pq.write_table(pa.table({"image": path_cells(["a.png", "b.png"])}), tmp_path / "a.parquet")
    before = parquet.open_parquet(tmp_path).stamps
    (tmp_path / "a.png").write_bytes(encoded(200) + b"?")
    after = parquet.open_parquet(tmp_path).stamps
    assert before[0] != after[0] and before[1] == after[1]


def test_text_is_no_image_where_no_column_gives_paths(tmp_path: Path) -> None:
    cells = pa.array([{"bytes": str(tmp_path / "private.png")}])
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no column of images"):
        open_images(tmp_path / "a.parquet")


def test_a_folder_lacks_no_shard(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet", range(2))
    with pytest.raises(UserError, match=r"train-00001-of-00002\.parquet is missing"):
        open_images(tmp_path)


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
