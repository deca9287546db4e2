"""Images in data sets of the Hub, read offline from folders in its layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.images.hub import open_hub
from benchmark.images.open import open_images
from tests.benchmark.images.test_parquet import write
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
