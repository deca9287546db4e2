"""Statistics of training images: against hooks in a full forward, and what becomes of them on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.core.files import CACHE
from benchmark.data.dataset import LabelledImages, read_split
from benchmark.data.training import TRAINING_IMAGES
from benchmark.images.memory import EncodedImages
from benchmark.models.identity import hash_weights
from benchmark.models.vit import Cut
from editors.core import statistics
from editors.core.base import TrainingImages
from editors.methods.rome import ROME
from editors.methods.t_patcher import TPatcher
from tests.conftest import PREPROCESSING, rows_of, small_vit, write_split

KEPT = "statistics-*.safetensors"


def collect(model, training: TrainingImages, most: int = statistics.IMAGES) -> statistics.Statistics:
    """Before the last FFN, where T-Patcher and ROME take them."""
    return statistics.collect(model, training, statistics.last_ffn(model), most)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def pool_of(folder: Path, count: int = 20, seed: int = 5) -> TrainingImages:
    """`count` training images of noise, kept in `folder`."""
    write_split(folder, "train", rows_of({(None, "train"): count}, seed))
    return TrainingImages(partial(read_split, folder, "train"), PREPROCESSING, torch.device("cpu"))


def seen_by_hooks(model, module, images: torch.Tensor) -> torch.Tensor:
    """The input of `module` at [cls] in a full forward of the model."""
    seen = []
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 0].clone()))
    model(images)
    handle.remove()
    return torch.cat(seen)


def test_they_are_what_the_last_ffn_sees_of_each_image_once(tmp_path: Path) -> None:
    model, training = small_vit(dtype=torch.float64), pool_of(tmp_path)
    tokens = collect(model, training).tokens
    expected = seen_by_hooks(model, model.blocks[-1].norm2, training.images(range(20)).double())
    assert tokens.dtype == torch.float64
    distances = torch.cdist(tokens, expected)
    nearest = distances.argmin(1)
    assert sorted(nearest.tolist()) == list(range(20)) != nearest.tolist()
    torch.testing.assert_close(tokens, expected[nearest], rtol=1e-10, atol=1e-12)


def test_a_large_pool_is_drawn_from(tmp_path: Path) -> None:
    model, training = small_vit(), pool_of(tmp_path)
    everything = collect(model, training)
    torch.manual_seed(1)
    drawn = collect(model, training, 7)
    torch.manual_seed(2)
    assert torch.equal(collect(model, training, 7).tokens, drawn.tokens), "the draw hangs on no global seed"
    torch.testing.assert_close(drawn.tokens, everything.tokens[:7], rtol=1e-5, atol=1e-5)
    assert (drawn.provenance["training_images"], everything.provenance["training_images"]) == ("7", "20")
    assert torch.equal(drawn.labels, everything.labels[:7])
    order = torch.randperm(20, generator=torch.Generator().manual_seed(statistics.DRAW_SEED))
    assert torch.equal(everything.labels, training.labels[order])
    assert drawn.provenance["training_images_sha256"] != everything.provenance["training_images_sha256"]


@dataclass(frozen=True)
class AllAlike(TrainingImages):
    """Many training images without any bytes: every one is the same noise."""

    def images(self, rows: Sequence[int]) -> torch.Tensor:
        return torch.linspace(-1, 1, 32).expand(len(rows), 3, 32, 32)


def test_ten_thousand_images_of_a_larger_pool_are_taken_and_all_of_a_smaller_one() -> None:
    """More than three times the 3,072 units of a ViT-B/16's FFN, as many as a folder by class is drawn down to."""
    model = small_vit(depth=1, embed_dim=12)
    for count, expected in ((10_001, 10_000), (9_999, 9_999)):
        table = pd.DataFrame({"label": range(count), "sha256": [f"hash {row}" for row in range(count)]})
        samples = LabelledImages(
            table, EncodedImages("nothing", table["sha256"].tolist(), pa.chunked_array([[b""] * count]))
        )
        taken = statistics.collect(model, AllAlike(lambda: samples, PREPROCESSING, torch.device("cpu")), Cut(0))  # noqa: B023
        assert len(taken.tokens) == len(set(taken.labels.tolist())) == expected
        assert taken.provenance["training_images"] == str(expected)
    assert TRAINING_IMAGES == 10_000


def test_the_record_says_where_they_came_from(tmp_path: Path) -> None:
    model, training, editor = small_vit(), pool_of(tmp_path), TPatcher()
    assert editor.provenance() == {} and editor.state_dict() == {}
    editor.fit(model, training)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(statistics.DRAW_SEED))
    hashes = [hashlib.sha256(training.samples.image_bytes(i)).hexdigest() for i in order.tolist()]
    assert editor.provenance() == {
        "training_images": "20",
        "training_images_sha256": hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
        "statistics_base_sha256": hash_weights(model),
    }
    assert editor.state_dict()["tokens"].shape == (20, 24)


def test_a_second_run_reads_them_and_a_damaged_file_is_made_anew(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, training = small_vit(), pool_of(tmp_path)
    first = collect(model, training).tokens
    (path,) = cache.glob(KEPT)
    whole, decoded = path.read_bytes(), []
    images = TrainingImages.images
    monkeypatch.setattr(TrainingImages, "images", lambda self, rows: decoded.extend(rows) or images(self, rows))
    assert torch.equal(collect(model, training).tokens, first) and not decoded
    for damaged in (b"", whole[:-9], whole[:-1] + bytes([whole[-1] ^ 1]), b"\xff" * 40):
        path.write_bytes(damaged)
        decoded.clear()
        assert torch.equal(collect(model, training).tokens, first) and len(decoded) == 20
        assert path.read_bytes() == whole


def test_another_base_precision_preprocessing_or_image_is_another_file(tmp_path: Path, cache: Path) -> None:
    training = pool_of(tmp_path / "one")
    flipped = TrainingImages(
        training.load, PREPROCESSING.__class__(32, 40, *list(vars(PREPROCESSING).values())[2:]), training.device
    )
    for count, (model, of) in enumerate(
        [
            (small_vit(), training),
            (small_vit(1), training),
            (small_vit(dtype=torch.float64), training),
            (small_vit(), flipped),
            (small_vit(), pool_of(tmp_path / "two", seed=6)),
        ]
    ):
        collect(model, of)
        collect(model, of)
        assert len(list(cache.glob(KEPT))) == count + 1


def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, training = small_vit(), pool_of(tmp_path)
    for editor in (ROME(), TPatcher()):
        with pytest.raises(UserError, match="call fit"):
            editor.edit(model, torch.zeros(1, 3, 32, 32), torch.zeros(1, dtype=torch.int64))
    nothing = TrainingImages(lambda: training.samples.take([]), PREPROCESSING, training.device)
    with pytest.raises(UserError, match="no training images"):
        collect(model, nothing)
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE, str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=CACHE):
        collect(model, training)
