"""A split as it is opened: what its labels mean, whether its files are of one set, where its images lie."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.core.errors import UserError
from benchmark.data.dataset import load, read_split
from benchmark.data.packaged import MINI
from benchmark.data.training import training_images
from benchmark.labels.imagenet import full_names, synsets
from tests.conftest import PREPROCESSING, rows_of, write_split

SPLITS = ("edit", "locality", "train")


def with_labels(folder: Path, split: str, labels: list, names: list[str] | None = None) -> None:
    """Write the first labels of a split anew; `names` are those of a ClassLabel, as `datasets` notes them."""
    (file,) = folder.glob(f"data/{split}-*.parquet")
    table = pq.read_table(file)
    kept = [] if isinstance(labels[0], (str, bool)) else table["label"].to_pylist()[len(labels) :]
    column = pa.array((labels * len(table) if not kept else [*labels, *kept])[: len(table)])
    table = table.set_column(table.schema.get_field_index("label"), "label", column)
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, file)


def open_all(folder: Path) -> list[list[int]]:
    """The labels of all splits, as a run opens them."""
    benchmark = load(str(folder))
    return [images.labels.tolist() for images in (benchmark.edit, benchmark.locality, training_images(str(folder)))]


@pytest.mark.parametrize("label", [1000, -7, 5000, 1.5, float("nan"), "n00000890", "crane", "a dog", True])
@pytest.mark.parametrize("split", SPLITS)
def test_a_label_that_is_no_class_is_refused_when_a_set_is_opened(small_data: Path, split: str, label: object) -> None:
    with_labels(small_data, split, [label])
    with pytest.raises(UserError, match=f"split {split}"):
        open_all(small_data)


@pytest.mark.parametrize(("split", "allowed"), [("edit", False), ("locality", True), ("train", False)])
@pytest.mark.parametrize("label", [-1, None])
def test_only_locality_images_may_lack_a_label(small_data: Path, split: str, allowed: bool, label: int | None) -> None:
    with_labels(small_data, split, [label])
    if allowed:
        assert open_all(small_data)[1][0] == -1
    else:
        with pytest.raises(UserError, match="has no label"):
            open_all(small_data)


@pytest.mark.parametrize("split", SPLITS)
def test_synset_ids_and_names_of_classes_are_read(small_data: Path, split: str) -> None:
    for text in ("n04540053", "volleyball", "890"):
        with_labels(small_data, split, [text])
        assert set(open_all(small_data)[SPLITS.index(split)]) == {890}


@pytest.mark.parametrize("names", [sorted(map(str, range(1000))), sorted(synsets(), reverse=True), full_names()[::-1]])
def test_a_class_label_in_another_order_is_read_by_name(small_data: Path, names: list[str]) -> None:
    true = [0, 2, 10, 890, 999]
    spelt = {str(index): index for index in range(1000)}
    spelt |= {name: index for index, name in enumerate(synsets())} | {n: i for i, n in enumerate(full_names())}
    places = [next(place for place, name in enumerate(names) if spelt[name] == index) for index in true]
    with_labels(small_data, "edit", places, list(names))
    # The other rows' labels are places in the same list.
    assert open_all(small_data)[0][:5] == true


def test_a_folder_by_numbers_is_read_by_its_names(tmp_path: Path) -> None:
    for index in (0, 2, 10, 100):
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / "a.png").write_bytes(rows_of({(None, "x"): 1}, seed=index)[0]["image"]["bytes"])
    images = training_images(str(tmp_path))
    assert sorted(images.labels.tolist()) == [0, 2, 10, 100]
    assert {Path(name).parent.name for name in images.table["source_id"]} == {"0", "2", "10", "100"}


@pytest.mark.parametrize("split", SPLITS)
def test_shards_are_of_one_set(small_data: Path, split: str) -> None:
    (file,) = small_data.glob(f"data/{split}-*.parquet")
    table, second = pq.read_table(file), file.with_name(f"{split}-00001-of-00002.parquet")
    pq.write_table(table.slice(0, 2), file.with_name(f"{split}-00000-of-00002.parquet"))
    file.unlink()
    with pytest.raises(UserError, match=f"{second.name} is missing"):
        open_all(small_data)
    for other in (
        table.drop_columns(["drawing"]),
        table.append_column("more", pa.nulls(len(table))),
        table.set_column(1, "label", table["label"].cast(pa.int32())),
    ):
        pq.write_table(other.slice(2), second)
        with pytest.raises(UserError, match=f"{second.name} has other columns than {split}-00000-of-00002.parquet"):
            open_all(small_data)
    pq.write_table(table.slice(2), second)
    assert len(open_all(small_data)[SPLITS.index(split)]) == len(table)


def test_bytes_that_are_not_those_of_the_hash_are_refused(small_data: Path) -> None:
    """As `datasets.map` leaves them: the column sha256 is the old one."""
    for split in SPLITS:
        rows = rows_of({("1-2", "pairs"): 3}, seed=7)
        rows[1]["image"], kept = rows[2]["image"], rows[1]["image"]
        write_split(small_data / "data", split, rows)
        with pytest.raises(UserError, match="1 of 3 images are other bytes than their sha256 names"):
            open_all(small_data)
        rows[1]["image"] = kept
        write_split(small_data / "data", split, rows_of({("1-2", "pairs"): 3}, seed=8 + SPLITS.index(split)))


def by_path(folder: Path, path_of) -> list[bytes]:
    """Put the images of the edit split beside the table; the cells get the paths that `path_of` makes of file names."""
    rows = rows_of({("1-2", "pairs"): 3}, seed=7)
    images = [row["image"]["bytes"] for row in rows]
    (folder / "images").mkdir()
    for number, row in enumerate(rows):
        (folder / "images" / f"{number}.png").write_bytes(images[number])
        row["image"] = path_of(f"images/{number}.png")
    write_split(folder / "data", "edit", rows)
    return images


@pytest.mark.parametrize("as_text", [False, True])
def test_images_by_path_are_read_below_the_sets_folder(small_data: Path, as_text: bool) -> None:
    images = by_path(small_data, lambda path: path if as_text else {"bytes": None, "path": path})
    edit = load(str(small_data)).edit
    assert [edit.image_bytes(row) for row in range(3)] == images
    assert edit.images(PREPROCESSING).shape[0] == 3
    (small_data / "images" / "1.png").write_bytes(images[0])
    with pytest.raises(UserError, match="not the bytes that it is named by"):
        edit.images(PREPROCESSING)
    with pytest.raises(UserError, match="1 of 3 images are other bytes"):
        load(str(small_data))


def test_images_by_path_elsewhere_are_not_opened_and_not_called_unpublished(small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(b"private")
    by_path(small_data, lambda path: {"bytes": None, "path": str(tmp_path / "private.png")})
    with pytest.raises(UserError, match="row 0 is given by path") as error:
        load(str(small_data))
    assert "hydrate" not in str(error.value)


def test_a_column_of_no_images_says_so(small_data: Path) -> None:
    write_split(small_data / "data", "edit", [{**row, "image": 7} for row in rows_of({("1-2", "pairs"): 3}, seed=7)])
    with pytest.raises(UserError, match="no column of images"):
        load(str(small_data))


def test_every_embedded_image_is_what_its_hash_names() -> None:
    for file in MINI.glob("*.parquet"):
        images = read_split(MINI, file.name.partition("-")[0])
        assert images.labels.min() >= 0 and images.labels.max() < 1000


@pytest.mark.parametrize("column", ["group_id", "subset"])
@pytest.mark.parametrize("value", [None, 7])
def test_an_editing_sample_has_a_group_and_a_subset(small_data: Path, column: str, value: int | None) -> None:
    """Of a sample without a group no edit would be made, and nobody would say so."""
    rows = rows_of({("1-2", "pairs"): 3}, seed=7)
    for row in rows[2:] if value is None else rows:
        row[column] = value
    write_split(small_data / "data", "edit", rows)
    with pytest.raises(UserError, match=r"no group_id or no subset|holds no text"):
        load(str(small_data))


def test_a_group_without_a_name_is_called_by_its_id(small_data: Path) -> None:
    rows = rows_of({("1-2", "pairs"): 3}, seed=7)
    write_split(small_data / "data", "edit", [{k: v for k, v in row.items() if k != "group"} for row in rows])
    assert load(str(small_data)).group("1-2") == "1-2"


def test_a_group_is_found_in_any_spelling_that_is_no_other_groups(small_data: Path) -> None:
    rows = rows_of({("a", "pairs"): 3, ("b", "pairs"): 3, ("c", "pairs"): 3}, seed=7)
    names = {"a": "\u00c9tude", "b": "Cardigan", "c": "cardigan"}
    write_split(small_data / "data", "edit", [{**row, "group": names[row["group_id"]]} for row in rows])
    data = load(str(small_data))
    assert [data.group(name) for name in ("e\u0301TUDE", "Cardigan", "cardigan", "B")] == ["a", "b", "c", "b"]
    with pytest.raises(UserError, match=r'no group of .* is called "CARDIGAN"'):
        data.group("CARDIGAN")
