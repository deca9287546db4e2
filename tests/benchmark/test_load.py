"""`benchmark.load`: what a base gets wrong, computed once; versions; rows that lack a label or their pixels."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import benchmark
from benchmark.core.errors import UserError
from benchmark.data import training
from benchmark.data.dataset import Benchmark, read_split
from benchmark.data.training import training_images
from benchmark.images.decode import decode
from benchmark.labels.columns import UNKNOWN
from benchmark.models.load import BaseModel, load_base
from benchmark.predict import engine
from benchmark.predict.benchmark import filter_benchmark
from tests.conftest import PREPROCESSING, png, rows_of, write_split


def no_forward(*_: object) -> None:
    raise AssertionError("the base ran")


def test_a_base_gets_the_samples_it_gets_wrong(
    small_data: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against one image at a time; the second call reads from disk and gives the same."""
    everything, base = benchmark.load(small_data), load_base("mini")
    with torch.no_grad():
        wrong = [
            int(base.module(base.preprocessing(decode(everything.edit.image_bytes(row)))[None]).argmax()) != label
            for row, label in enumerate(everything.edit.labels)
        ]
    with caplog.at_level(logging.INFO, "benchmark"):
        filtered = benchmark.load(small_data, base="mini")
    assert filtered.edit.table["sha256"].tolist() == everything.edit.table["sha256"][wrong].tolist()
    assert caplog.messages[1:] == [f"mini gets wrong: {filtered.kept_counts}"] and "pairs" in filtered.kept_counts
    monkeypatch.setattr(engine, "top2", no_forward)
    again = benchmark.load(str(small_data), base="mini")
    assert again.fingerprint == filtered.fingerprint and again.kept_counts == filtered.kept_counts


def test_filtering_twice_says_of_how_many(small_benchmark: Benchmark) -> None:
    wrong = small_benchmark.edit.labels.copy()
    wrong[[1, 2, 9]] += 1
    once = small_benchmark.filter_for("small", wrong)
    assert once.filter_for("small", once.edit.labels + 1) is once
    whole = small_benchmark.filter_for("small", small_benchmark.edit.labels + 1)
    assert whole.kept_counts == "pairs 8 of 8 (100%), line_drawing 5 of 5 (100%)"


def test_a_built_folder_says_its_version(small_data: Path) -> None:
    assert benchmark.load(small_data).version == "local"
    before = benchmark.load(small_data).fingerprint
    build = {"name": "vit-edit-bench", "version": "1.0-partial", "groups": [], "locality": {}}
    (small_data / "build.json").write_text(json.dumps(build))
    built = benchmark.load(small_data)
    assert (built.name, built.version) == ("vit-edit-bench", "1.0-partial") and built.fingerprint != before
    (small_data / "build.json").write_text("[")
    with pytest.raises(UserError, match=r"build\.json"):
        benchmark.load(small_data)


def test_rows_without_pixels_are_refused_with_the_remedy(small_data: Path) -> None:
    rows = rows_of({("1-2", "pairs"): 4}, seed=1)
    rows[2]["image"] = None
    rows[3]["image"]["bytes"] = None
    write_split(small_data / "data", "edit", rows)
    with pytest.raises(UserError, match=rf"2 of 4 rows of the edit split.*benchmark\.hydrate {small_data} "):
        benchmark.load(small_data)


def test_locality_labels_may_be_unknown_editing_labels_not(small_data: Path) -> None:
    rows = rows_of({(None, "locality"): 4}, seed=2)
    known = [row["label"] for row in rows]
    rows[1]["label"] = rows[3]["label"] = None
    write_split(small_data / "data", "locality", rows)
    loaded = benchmark.load(small_data)
    assert loaded.locality.labels.tolist() == [known[0], UNKNOWN, known[2], UNKNOWN]
    guess = np.array([900, 901, 902, 903], np.int16)
    assert loaded.labelled_by("vits16", guess) is loaded
    torn, margins = np.full(4, 0.3), np.array([0.9, 0.04, 0.9, 0.01])  # where labels are known, nothing is asked
    filled = loaded.labelled_by("vitb16", guess, torn, margins).locality
    assert filled.labels.tolist() == [known[0], 901, known[2], 903]
    assert filled.table["label_origin"].isna().tolist() == [True, False, True, False]
    assert filled.table["label_origin"][1] == "top-1 of vitb16" and "label_origin" not in loaded.locality.table
    rows[0].update(group_id="1-2", label=None)
    write_split(small_data / "data", "edit", rows)
    with pytest.raises(UserError, match="no label"):
        benchmark.load(small_data)


@pytest.mark.parametrize(
    ("probabilities", "margins"),
    [
        (None, None),  # a name alone
        (np.full(40, 0.3), np.linspace(0.01, 0.9, 40)),  # other trained weights
        (np.full(40, 0.01), np.full(40, 0.001)),  # random ones
        (np.full(40, 0.3), np.full(40, np.nan)),
    ],
)
def test_weights_that_are_only_called_vitb16_make_no_labels(
    small_data: Path, probabilities: np.ndarray | None, margins: np.ndarray | None, caplog: pytest.LogCaptureFixture
) -> None:
    rows = rows_of({(None, "locality"): 40}, seed=2)
    write_split(small_data / "data", "locality", [{**row, "label": None} for row in rows])
    loaded, guess = benchmark.load(small_data), np.arange(40)
    assert loaded.labelled_by("vitb16", guess, probabilities, margins) is loaded
    assert "vitb16" in caplog.text and "without labels" in caplog.text
    margins = np.full(40, 0.02)
    margins[:2] = 0.06  # another release of Pillow
    filled = loaded.labelled_by("vitb16", guess, np.full(40, 0.3), margins)
    assert filled.locality.labels.tolist() == guess.tolist()


def test_random_weights_called_vitb16_leave_d_l_without_labels(small_data: Path, base: BaseModel) -> None:
    rows = rows_of({(None, "locality"): 12}, seed=2)
    write_split(small_data / "data", "locality", [{**row, "label": None} for row in rows])
    torch.nn.init.normal_(base.module.head.weight, std=0.01)
    filtered, _, _ = filter_benchmark(replace(base, name="vitb16"), benchmark.load(small_data))
    assert (filtered.locality.labels == UNKNOWN).all()


def test_taking_rows_copies_no_image(small_benchmark: Benchmark) -> None:
    samples = small_benchmark.edit
    taken = samples.take(np.array([12, 0, 0, 7, 6])).take([0, 1, 3])
    assert [taken.image_bytes(row) for row in range(3)] == [samples.image_bytes(row) for row in (12, 0, 7)]
    assert list(taken.source.ids) == taken.table["sha256"].tolist() == samples.table["sha256"].iloc[[12, 0, 7]].tolist()
    assert taken.source.labels is not None and taken.source.labels.tolist() == taken.labels.tolist()
    memory = pa.total_allocated_bytes()
    samples.take(np.zeros(1000, int))
    assert pa.total_allocated_bytes() == memory
    assert len(samples.take([])) == 0
    with pytest.raises(IndexError):
        samples.take([13])


def by_class(folder: Path, count: int = 6) -> list[bytes]:
    """`count` images in three class folders, named in the three ways."""
    rng = np.random.default_rng(0)
    images = [png(rng) for _ in range(count)]
    for number, image in enumerate(images):
        inside = folder / ("n01440764", "890", "jellyfish")[number % 3]
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{number}.png").write_bytes(image)
    return images


def test_training_images_from_a_folder_by_class(
    tmp_path: Path, small_benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = by_class(tmp_path / "train")
    everything = training_images(str(tmp_path / "train"))
    label = {image: (0, 890, 107)[number % 3] for number, image in enumerate(images)}
    assert {everything.image_bytes(row): everything.labels[row] for row in range(6)} == label
    by_hand = PREPROCESSING(decode(everything.image_bytes(4)))
    torch.testing.assert_close(everything.images(PREPROCESSING, [4])[0], by_hand)
    assert everything.take([4]).image_bytes(0) == everything.image_bytes(4)
    monkeypatch.setattr(training, "TRAINING_IMAGES", 4)
    drawn = training_images(str(tmp_path / "train"))
    assert len(drawn) == 4 and drawn.table["sha256"].tolist() == everything.table["sha256"][:4].tolist()
    (tmp_path / "train" / "890" / "scored.png").write_bytes(small_benchmark.edit.image_bytes(0))
    monkeypatch.setattr(training, "TRAINING_IMAGES", 7)
    assert len(training_images(str(tmp_path / "train"))) == 7
    left = training_images(str(tmp_path / "train"), small_benchmark.scored_hashes)
    assert set(left.table["sha256"]) == set(everything.table["sha256"])


def test_what_is_no_training_data_says_so(tmp_path: Path, small_data: Path, small_benchmark: Benchmark) -> None:
    (small_data / "data" / "train-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match="--images"):
        training_images(str(small_data))
    with pytest.raises(UserError, match="no such file or folder"):
        training_images(str(tmp_path / "nowhere"))
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").write_bytes(small_benchmark.edit.image_bytes(0))
    with pytest.raises(UserError, match="no images in class folders"):
        training_images(str(tmp_path / "flat"))
    (tmp_path / "flat" / "890").mkdir()
    (tmp_path / "flat" / "a.png").rename(tmp_path / "flat" / "890" / "a.png")
    with pytest.raises(UserError, match="but those that are scored"):
        training_images(str(tmp_path / "flat"), small_benchmark.scored_hashes)
    (tmp_path / "flat" / "890").rename(tmp_path / "flat" / "voleyball")
    with pytest.raises(UserError, match='did you mean "volleyball"'):
        training_images(str(tmp_path / "flat"))


def test_read_split_keeps_images_encoded(small_data: Path) -> None:
    samples = read_split(small_data / "data", "edit")
    assert decode(samples.image_bytes(3)).size == (32, 32)
    assert samples.table["label"].dtype == np.int64
