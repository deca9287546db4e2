"""The images of training commands: from a folder of classes, a training split, or the Hub."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import UserError
from benchmark.data.dataset import read_split
from benchmark.data.packaged import MINI
from editors.training.images import open_training_images
from tests.conftest import png, rows_of, write_split
from tests.hub_server import HubServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of four images each; their names are no classes of ImageNet, and need not be."""
    rng = np.random.default_rng(0)
    for name in ("tom", "pluto"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "images" / name / f"{number}.png").write_bytes(png(rng))
    return tmp_path / "images"


def test_images_come_from_a_folder_or_a_training_split(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert len(open_training_images(str(folder))) == 8
    write_split(tmp_path / "set" / "data", "train", rows_of({(None, "train"): 5}, seed=1))
    write_split(tmp_path / "set" / "data", "edit", rows_of({("1-2", "natural"): 5}, seed=2))
    split = open_training_images(str(tmp_path / "set"))
    assert len(split) == 5 and split.open(4).size == (32, 32)
    before = open_training_images(str(folder)).signature
    (folder / "tom" / "9.png").write_bytes(png(np.random.default_rng(1)))
    assert open_training_images(str(folder)).signature != before


def test_the_embedded_training_images_are_the_train_split_of_the_mini() -> None:
    images, split = open_training_images("mini"), read_split(MINI, "train")
    assert len(images) == len(split) and images.read(7) == split.image_bytes(7)
    assert open_training_images("mini-dev").signature == images.signature


def test_a_data_set_on_the_hub(datasets_hub: HubServer, tmp_path: Path) -> None:
    write_split(tmp_path / "set" / "data", "train", rows_of({(None, "train"): 3}, seed=1))
    write_split(tmp_path / "set" / "data", "test", rows_of({(None, "test"): 2}, seed=2))
    datasets_hub.add("datasets", "somebody/images", tmp_path / "set")
    images = open_training_images("somebody/images")
    assert len(images) == 3 and images.read(2) == read_split(tmp_path / "set" / "data", "train").image_bytes(2)


def test_too_few_images_are_refused(folder: Path) -> None:
    for image in (folder / "pluto").iterdir():
        image.unlink()
    with pytest.raises(UserError, match=r"1 classes.*one folder of images a class"):
        open_training_images(str(folder))
