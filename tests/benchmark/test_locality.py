"""Locality selection: the two criteria against one image at a time, sources of all kinds, resume, what is written."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark import build, load, locality
from benchmark.core import cli
from benchmark.core.errors import UserError
from benchmark.data import further
from benchmark.images.decode import decode
from benchmark.images.hub import HubImages
from benchmark.images.open import open_images
from benchmark.images.source import Joined
from benchmark.labels.imagenet import names, synsets
from benchmark.models import load as models
from benchmark.models.load import BaseModel
from benchmark.predict import engine as predict
from benchmark.subsets.locality import read
from tests.conftest import PREPROCESSING, png, rows_of, write_split

MARGIN = 0.2


def predict_plainly(base: BaseModel, data: bytes) -> tuple[int, float]:
    """Top-1 class and margin of one image, plainly."""
    with torch.no_grad():
        probabilities = base.module(PREPROCESSING(decode(data))[None]).softmax(-1)[0]
    first, second = probabilities.topk(2).values.tolist()
    return int(probabilities.argmax()), first - second


def write(folder: Path, base: BaseModel, count: int, seed: int, naming) -> dict[str, tuple[bytes, int]]:
    """Images by class: every third under a wrong one. Path below `folder` -> bytes and label."""
    rng = np.random.default_rng(seed)
    written = {}
    for number in range(count):
        data = png(rng)
        label = (predict_plainly(base, data)[0] + (number % 3 == 0)) % 1000
        path = f"{naming(label)}/{number}.png"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        written[path] = (data, label)
    return written


@pytest.fixture
def folders(base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """Three sources in folders named in three ways; the first has a broken image, the second one of the first's."""
    monkeypatch.setattr(models, "load_base", lambda *_, **__: base)
    monkeypatch.chdir(tmp_path)
    written = {
        "imagenet": write(tmp_path / "val", base, 30, 1, lambda label: synsets()[label]),
        "r": write(tmp_path / "r", base, 20, 2, str),
        "sketch": write(tmp_path / "sketch", base, 10, 3, lambda label: f"{label}"),
    }
    path, (data, label) = next(
        (path, image) for path, image in written["imagenet"].items() if predict_plainly(base, image[0])[1] < MARGIN
    )
    (tmp_path / "val" / path).parent.joinpath("broken.JPEG").write_bytes(data[:40])
    (tmp_path / "r" / str(label)).mkdir(exist_ok=True)
    (tmp_path / "r" / str(label) / "twin.png").write_bytes(data)
    written["r"][f"{label}/twin.png"] = (data, label)
    return written


WORDS = ["--imagenet", "val", "--imagenet-r", "r", "--imagenet-sketch", "sketch", "--margin", str(MARGIN)]


def test_the_two_criteria_one_image_at_a_time(
    base: BaseModel, folders: dict[str, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(locality.main, [*WORDS, "--out", "chosen"])
    expected = {}
    for source in folders.values():
        for data, label in source.values():
            top, margin = predict_plainly(base, data)
            if top == label and margin < MARGIN:
                expected[hashlib.sha256(data).hexdigest()] = (label, margin, data)
    table = pd.read_csv(tmp_path / "chosen" / "images" / "selection.csv").set_index("sha256")
    assert set(table.index) == set(expected) and len(expected) >= 8
    for digest, row in table.iterrows():
        label, margin, data = expected[str(digest)]
        assert (row["label"], row["base_prediction"]) == (label, label)
        assert row["margin"] == pytest.approx(margin, abs=1e-6)
        assert (tmp_path / "chosen" / "images" / row["file"]).read_bytes() == data
        source = {"ImageNet-1k": "imagenet", "ImageNet-R": "r", "ImageNet-Sketch": "sketch"}[row["source"]]
        assert folders[source][row["source_id"]] == (data, label)
    files = [path for path in (tmp_path / "chosen" / "images").rglob("*") if path.is_file()]
    assert len(files) == len(expected) + 1, "the image that is there twice is written once"
    skipped = pd.read_csv(tmp_path / "chosen" / "skipped.csv")
    assert len(skipped) == 1 and skipped["image"][0].endswith("/broken.JPEG")
    note = json.loads((tmp_path / "chosen" / "locality.json").read_text())
    assert note["sources"]["ImageNet-1k"]["images"] == 31 and note["sources"]["ImageNet-1k"]["skipped"] == 1
    assert note["sources"]["ImageNet-1k"]["right"] == 20 and note["precision"] == "float32"
    assert str(tmp_path) not in json.dumps(note)
    assert (
        f"{len(expected):,} images; next: python -m benchmark.build --locality chosen/images" in capsys.readouterr().out
    )
    with Image.open(tmp_path / "chosen" / "margins.png") as picture:
        assert picture.format == "PNG" and picture.width > 2 * picture.height


def test_what_it_writes_is_what_the_build_reads(base: BaseModel, folders: dict[str, dict], tmp_path: Path) -> None:
    cli.run(locality.main, [*WORDS, "--out", "chosen"])
    table = pd.read_csv(tmp_path / "chosen" / "images" / "selection.csv").set_index("file")
    source = read(open_images(tmp_path / "chosen" / "images", files=True))
    assert {image.name: image.label for image in source.images} == table["label"].to_dict()
    for image in source.images:
        row = table.loc[image.name]
        assert (image.columns["source"], image.columns["source_id"]) == (row["source"], row["source_id"])
        assert image.columns["margin"] == pytest.approx(row["margin"])


def test_another_margin_asks_no_model_and_a_changed_image_does(
    base: BaseModel, folders: dict[str, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.run(locality.main, [*WORDS, "--out", "chosen"])
    before = len(pd.read_csv(tmp_path / "chosen" / "images" / "selection.csv"))
    real = predict.top2

    def refuse(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(predict, "top2", refuse)
    cli.run(locality.main, [*WORDS[:-1], "1", "--out", "chosen"])
    after = pd.read_csv(tmp_path / "chosen" / "images" / "selection.csv")
    assert len(after) > before and (after["margin"] < 1).all()
    files = list((tmp_path / "chosen" / "images").rglob("*.png"))
    assert len(files) == len(after), "the earlier choice is gone"
    path = next(iter(folders["sketch"]))
    (tmp_path / "sketch" / path).write_bytes(png(np.random.default_rng(9)) + b"longer")
    with pytest.raises(AssertionError, match="asked again"):
        cli.run(locality.main, [*WORDS, "--out", "chosen", "--debug"])
    monkeypatch.setattr(predict, "top2", real)
    cli.run(locality.main, [*WORDS, "--out", "chosen"])


def hub_layout(folder: Path, base: BaseModel) -> list[dict]:
    """A data set as ImageNet-R is one on the Hub: images, synset ids, a split named test, another split beside."""
    rows = [{"image": row["image"], "wnid": synsets()[row["label"]]} for row in rows_of({("a", "b"): 5}, seed=4)]
    rows[1]["image"]["path"] = "dir/second.png"
    write_split(folder / "data", "test", rows)
    write_split(folder / "data", "train", rows[:2])
    configs = "configs:\n- config_name: one\n  data_files:\n  - split: test\n    path: data/test-*\n"
    (folder / "README.md").write_text(f"---\n{configs}  - split: train\n    path: data/train-*\n---\n")
    return rows


def test_a_data_set_in_the_hubs_layout(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = hub_layout(tmp_path / "somebody" / "imagenet-r", base)
    monkeypatch.chdir(tmp_path)
    images = open_images("somebody/imagenet-r", labelled=True)
    assert isinstance(images, HubImages)
    assert [synsets()[label] for label in images.labels] == [row["wnid"] for row in rows]
    assert list(images.ids) == ["test/0", "test/1/second.png", "test/2", "test/3", "test/4"]
    pool = Joined({"ImageNet-R": images})
    assert [pool.read(position) for position in range(5)] == [row["image"]["bytes"] for row in rows]
    shutil.rmtree(tmp_path / "somebody" / "imagenet-r" / "data")
    (tmp_path / "somebody" / "imagenet-r" / "data").mkdir()
    with pytest.raises(UserError, match="folder of images per class"):
        open_images("somebody/imagenet-r", labelled=True)


def test_a_class_label_of_words_is_in_imagenets_order(tmp_path: Path) -> None:
    """Two classes are called "crane", so that words alone do not tell them apart."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=1000)})
    image = {"bytes": png(np.random.default_rng(0)), "path": None}
    for class_names, expected in (
        ([f"{number}: {name}" for number, name in enumerate(names())], [134, 517]),
        (list(reversed(synsets())), [865, 482]),
    ):
        features["label"] = datasets.ClassLabel(names=class_names)
        folder = tmp_path / class_names[0].partition(":")[0]
        (folder / "data").mkdir(parents=True)
        rows = {"image": [image] * 2, "label": [134, 517]}
        datasets.Dataset.from_dict(rows, features).to_parquet(str(folder / "data" / "validation-0.parquet"))
        assert list(open_images(str(folder), labelled=True).labels) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --imagenet"),
        (["--imagenet", "val", "--margin", "0"], "--margin"),
        (["--imagenet", "val", "--batch-size", "0"], "--batch-size"),
        (["--imagenet", "val", "--out", "val"], "which no choice of images made"),
        (["--imagenet", "val", "--out", "cache"], "replaced as a whole"),
        (["--imagenet", "val", "--margin", "1e-9"], "no image meets both criteria"),
    ],
)
def test_what_cannot_be_chosen_says_why(
    words: list[str], message: str, folders: dict[str, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(locality.main, words)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "locality").exists()


def test_a_full_disk_leaves_the_earlier_choice(
    folders: dict[str, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.run(locality.main, [*WORDS, "--out", "chosen"])
    before = sorted(path.relative_to(tmp_path) for path in (tmp_path / "chosen").rglob("*"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(locality, "draw_margins", full)
    with pytest.raises(SystemExit) as stop:
        cli.run(locality.main, [*WORDS, "--out", "chosen"])
    assert stop.value.code == 2
    assert sorted(path.relative_to(tmp_path) for path in (tmp_path / "chosen").rglob("*")) == before
    assert not list(tmp_path.glob(".chosen*"))


def own_groups(folder: Path) -> Path:
    """One group of one's own; its images are no others' here."""
    (folder / "groups" / "7_mine").mkdir(parents=True)
    for number, row in enumerate(rows_of(GROUPS, seed=8)):
        (folder / "groups" / "7_mine" / f"{number}.png").write_bytes(row["image"]["bytes"])
    return folder / "groups"


GROUPS = {("1-2", "pairs"): 4, ("3-4", "pairs"): 3, ("5-6", "pairs"): 1, ("line", "line_drawing"): 5}  # of `small_data`
FURTHER = ["--imagenet", "val", "--margin", str(MARGIN), "--data", "noise", "--out", "chosen"]


def test_further_images_are_of_the_classes_that_edits_take_from_and_new(
    base: BaseModel,
    folders: dict[str, dict],
    small_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`val` holds 20 images that the base gets right; one of them is a training image of the data set."""
    right = {
        hashlib.sha256(data).hexdigest(): (label, predict_plainly(base, data)[1])
        for data, label in folders["imagenet"].values()
        if predict_plainly(base, data)[0] == label
    }
    learned = next(digest for digest, (_, margin) in right.items() if margin >= MARGIN)
    data, label = next(
        image for image in folders["imagenet"].values() if hashlib.sha256(image[0]).hexdigest() == learned
    )
    row = {**rows_of({(None, "train"): 1}, seed=3)[0], "label": label, "sha256": learned}
    write_split(small_data / "data", "train", [{**row, "image": {"bytes": data, "path": None}}])
    taken_from = {predict_plainly(base, row["image"]["bytes"])[0] for row in rows_of(GROUPS, seed=1)}
    monkeypatch.setattr(further, "A_CLASS", 3)
    cli.run(locality.main, FURTHER)
    near, taken, far = (
        pd.read_csv(tmp_path / "chosen" / name / "selection.csv").set_index("sha256")
        for name in ("images", "taken", "far")
    )
    assert not {*near.index} & {*taken.index} and not {*near.index, *taken.index} & {*far.index}
    assert {*near.index, *taken.index, *far.index} == right.keys() - {learned}, "few as they are, all are drawn"
    assert set(taken["label"]) <= taken_from and taken["label"].value_counts().max() == 3
    assert (taken["label"] == taken["base_prediction"]).all() and (far["margin"] >= MARGIN).all()
    note = json.loads((tmp_path / "chosen" / "locality.json").read_text())
    assert (note["taken"], note["far"]) == (len(taken), len(far)) and len(taken) > 0
    assert f"{len(taken)} images, for --locality-taken of benchmark.build" in capsys.readouterr().out

    splits = "--locality chosen/images --locality-taken chosen/taken --locality-far chosen/far"
    cli.run(build.main, [*splits.split(), "--own", str(own_groups(tmp_path)), "--out", "mine"])
    built = load("mine")
    assert built.locality_taken is not None and built.locality_far is not None
    assert set(built.locality_taken.table["sha256"]) == set(taken.index)
    assert set(built.locality_far.table["sha256"]) == set(far.index)
    assert set(built.locality_taken.table["subset"]) == {"locality_taken"}
    notes = json.loads((tmp_path / "mine" / "build.json").read_text())
    assert notes["locality_taken"] == {"count": len(taken), "expected": None}
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "split: locality_taken" in card and f"| locality_far |  | {len(far)} |" in card
    before = (taken.index.tolist(), far.index.tolist())
    cli.run(locality.main, [*FURTHER[:-1], "again"])
    again = [pd.read_csv(tmp_path / "again" / name / "selection.csv")["sha256"].tolist() for name in ("taken", "far")]
    assert tuple(again) == before, "the same seed, the same draw"
