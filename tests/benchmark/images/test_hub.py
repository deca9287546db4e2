"""Images in data sets of the Hub, read offline from folders in its layout."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.core.errors import UserError
from benchmark.images.decode import BrokenImage
from benchmark.images.hub import open_hub
from benchmark.images.open import open_images
from benchmark.labels.imagenet import full_names
from tests.benchmark.images.test_parquet import encoded, path_cells, write
from tests.conftest import rows_of, write_split
from tests.hub_server import HubServer, serving


def test_a_data_set_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    # `load_dataset` takes a folder of that name before it asks the Hub: the same code, offline.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "ns" / "photos" / "data" / "train-00000.parquet", range(2))
    write(tmp_path / "ns" / "photos" / "data" / "test-00000.parquet", range(2, 5))
    pool = open_hub("ns/photos")
    assert pool.ids == ["train/0", "train/1", "test/0", "test/1", "test/2"]
    assert pool.title == "ns/photos" and len({*pool.stamps}) == len(pool) == 5
    assert [pool.open(position).getpixel((0, 0))[0] for position in range(5)] == [0, 1, 2, 3, 4]
    assert open_hub("ns/photos").stamps == pool.stamps
    assert open_hub("ns/photos:test").ids == pool.ids[2:]
    with pytest.raises(UserError, match="no split valid; it has train, test"):
        open_hub("ns/photos:valid")
    folder = open_images("ns/photos")  # a folder goes before the Hub
    assert folder.ids[0] == "data/test-00000.parquet#0"


OPENING = """
import json, sys
from benchmark import UserError, open_images
for name in sys.argv[1:]:
    try:
        images = open_images(name)
        values = [images.open(position).getpixel((0, 0))[0] for position in range(len(images))]
        print(json.dumps([images.title, values]))
    except UserError as error:
        print(json.dumps(str(error)))
"""


def test_a_data_set_of_the_hub_is_one_commit_and_without_the_hub_no_other(tmp_path: Path) -> None:
    """`datasets` takes what was loaded last, of any revision, where the Hub does not answer."""
    with serving() as hub:
        commits = []
        for folder, first in (("older", 0), ("newer", 5)):
            write(tmp_path / folder / "data" / "train-00000.parquet", range(first, first + 2))
            write(tmp_path / folder / "data" / "test-00000.parquet", range(first + 2, first + 5))
            (tmp_path / folder / "README.md").write_text("# Photos")
            commits.append(hub.add("datasets", "ns/photos", tmp_path / folder))
        older, newer = (f"ns/photos@{commit}" for commit in commits)
        asked = ["ns/photos", older, f"{older}:test", "ns/photos@v7"]
        done = hub.python(tmp_path, "-c", OPENING, *asked)
        assert done.returncode == 0, done.stderr
        *read, refused = map(json.loads, done.stdout.splitlines())
        assert read == [[newer, [5, 6, 7, 8, 9]], [older, [0, 1, 2, 3, 4]], [f"{older}:test", [2, 3, 4]]]
        assert "no such revision" in refused
    done = hub.python(tmp_path, "-c", OPENING, *asked)
    other, *again, refused = map(json.loads, done.stdout.splitlines())
    assert other.startswith("ns/photos: without the Hub, the cache gives another commit than")
    assert again == read[1:] and "the Hub does not answer" in refused


def test_one_error_for_a_data_set_that_cannot_be_had(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    said = set()
    for settings in ({}, {"labelled": True}, {"split": "train"}):
        with pytest.raises(UserError, match=r"the data set cannot be had \(the Hub has nothing of that name") as error:
            open_images("ns/nowhere", **settings)
        said.add(str(error.value))
    assert len(said) == 1


def test_only_the_split_that_is_wanted_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "photos" / "data" / "train-00000.parquet", range(2))
    write(tmp_path / "photos" / "data" / "test-00000.parquet", range(2, 5)).write_bytes(b"damaged")
    images = open_images(tmp_path / "photos", split="train")
    assert images.ids == ["train/0", "train/1"] and images.open(1).getpixel((0, 0)) == (1, 0, 0)
    with pytest.raises(UserError, match="has no split dev; it has"):
        open_images(tmp_path / "photos", split="dev")


def test_labels_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "photos" / "data" / "test-00000.parquet", range(2, 5))
    images = open_images(tmp_path / "photos", labelled=True)
    assert images.known_labels.tolist() == [2, 3, 4] and open_images(tmp_path / "photos").labels is None
    with pytest.raises(UserError, match="images without labels; give a folder of images per class"):
        open_images(tmp_path / "photos" / "data" / "test-00000.parquet", labelled=True)


def write_labelled(folder: Path, names: list[str] | None, labels: list, wnid: list[str] | None = None) -> Path:
    """A validation split, as `datasets` writes it: with a ClassLabel of these names, or without."""
    import datasets

    label = datasets.Value("int64") if names is None else datasets.ClassLabel(names=names)
    features = {"image": datasets.Image(), "label": label}
    columns = {"image": [{"bytes": encoded(red), "path": None} for red in range(len(labels))], "label": labels}
    if wnid is not None:
        features["wnid"], columns["wnid"] = datasets.Value("string"), wnid
    rows = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    (folder / "data").mkdir(parents=True, exist_ok=True)
    rows.to_parquet(str(folder / "data" / "validation-00000-of-00001.parquet"))
    return folder


@pytest.mark.parametrize("numbers", [True, False])
def test_a_class_label_is_read_by_its_names(datasets_hub: HubServer, tmp_path: Path, numbers: bool) -> None:
    """In a folder and on the Hub: ImageNetV2's folders are numbers, which are sorted as strings."""
    true = [0, 2, 10, 890, 999]
    of_class = [str(index) for index in range(1000)] if numbers else list(full_names())
    of_class[517] = of_class[517].replace("crane", "crane2")  # as the Hub has it: no two names are the same
    names = sorted(of_class)
    folder = write_labelled(tmp_path / "v2", names, [names.index(of_class[index]) for index in true])
    assert open_images(folder, labelled=True).known_labels.tolist() == true
    datasets_hub.add("datasets", "some/v2", folder)
    assert open_images("some/v2", labelled=True).known_labels.tolist() == true


@pytest.mark.parametrize(
    ("labels", "wnid", "problem"),
    [
        ([3, 1000], None, "label 1000 is no class"),
        ([3, -1], None, "1 rows have no label; name a split"),
        ([3, None], None, "1 rows have no label"),
        ([0, 1], ["n04540053", "n01440764"], "columns label and wnid name other classes"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, monkeypatch, labels: list, wnid, problem: str) -> None:
    """A test split on the Hub has the label -1; a label from 0 to 199 beside ImageNet-R's ids is no class index."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(UserError, match=problem):
        open_images(write_labelled(tmp_path / "photos", None, labels, wnid), labelled=True)


def test_a_folder_of_images_on_the_hub_is_read(datasets_hub: HubServer, tmp_path: Path) -> None:
    """`datasets` leaves such images where it downloaded them, and gives their paths."""
    for red, name in enumerate(("n01440764", "n04540053")):
        (tmp_path / "photos" / "train" / name).mkdir(parents=True)
        (tmp_path / "photos" / "train" / name / "a.png").write_bytes(encoded(red))
    datasets_hub.add("datasets", "some/photos", tmp_path / "photos")
    images = open_images("some/photos", labelled=True)
    assert images.known_labels.tolist() == [0, 890]
    assert [images.read(position) for position in (0, 1)] == [encoded(0), encoded(1)]


def test_paths_in_a_data_set_lead_nowhere_but_below_its_folder(datasets_hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "data").mkdir(parents=True)
    (folder / "a.png").write_bytes(encoded(1))
    (tmp_path / "private.png").write_bytes(encoded(2))
    paths = ["a.png", "../private.png", str(tmp_path / "private.png")]
    table = pa.table({"image": path_cells(paths), "label": [1, 2, 3]})
    pq.write_table(table, folder / "data" / "train-00000-of-00001.parquet")
    images = open_images(folder, split="train")
    assert images.read(0) == encoded(1)
    stamps = images.stamps
    (folder / "a.png").write_bytes(encoded(77) + b"?")
    assert stamps[0] != open_images(folder, split="train").stamps[0]
    datasets_hub.add("datasets", "some/photos", folder)
    for source, positions in ((images, (1, 2)), (open_images("some/photos", split="train"), (0, 1, 2))):
        for position in positions:
            with pytest.raises(BrokenImage, match="given by path"):
                source.read(position)


def test_a_split_lacks_no_shard_and_has_the_bytes_that_it_names(tmp_path: Path, monkeypatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = rows_of({(None, "train"): 3}, seed=1)
    write_split(tmp_path / "photos" / "data", "train", rows)
    assert len(open_images(tmp_path / "photos", split="train")) == 3
    rows[0]["sha256"] = "0" * 64
    write_split(tmp_path / "photos" / "data", "train", rows)
    with pytest.raises(UserError, match="1 of 3 images are other bytes"):
        open_images(tmp_path / "photos", split="train")
    data = tmp_path / "photos" / "data"
    (data / "train-00000-of-00001.parquet").rename(data / "train-00000-of-00002.parquet")
    with pytest.raises(UserError, match=r"train-00001-of-00002\.parquet is missing"):
        open_images(tmp_path / "photos", split="train")


def test_a_pipe_among_a_folder_s_files_is_refused_before_anyone_opens_it(tmp_path: Path) -> None:
    write_split(tmp_path / "data", "test", rows_of({("1-2", "pairs"): 2}, seed=1))
    os.mkfifo(tmp_path / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet: is a pipe, socket or device, not a file"):
        open_images(tmp_path, labelled=True)
