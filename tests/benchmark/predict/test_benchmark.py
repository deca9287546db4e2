"""A base's predictions of a benchmark: right, made once, known by what could change them, of the base as it is now."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark, LabelledImages
from benchmark.images.decode import decode
from benchmark.images.memory import EncodedImages
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from benchmark.predict import engine, store
from benchmark.predict.benchmark import SCORE_BATCH, filter_benchmark, predict_samples
from benchmark.predict.store import NOWHERE
from tests.conftest import PREPROCESSING, small_vit


def plain(base: BaseModel, samples: LabelledImages, batch_size: int) -> np.ndarray:
    """Top-1 classes by a loop over batches of consecutive rows."""
    images = torch.stack([base.preprocessing(decode(samples.image_bytes(row))) for row in range(len(samples))])
    with torch.no_grad():
        return torch.cat([base.module(batch).argmax(-1) for batch in images.split(batch_size)]).numpy()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the base has run on."""
    sizes: list[int] = []
    run = engine.top2

    def counted(module: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        sizes.append(len(images))
        return run(module, images)

    monkeypatch.setattr(engine, "top2", counted)
    return sizes


def test_batches_are_those_of_a_plain_loop(base: BaseModel, small_benchmark: Benchmark, batches: list[int]) -> None:
    assert store.SHARD_SIZE % SCORE_BATCH == 0, "so that no batch is cut short by the end of a shard"
    edit = small_benchmark.edit
    predictions = predict_samples(base, edit, 5)["base_label"].to_numpy(np.int16)
    assert batches == [5, 5, 3]
    assert predictions.dtype == np.int16 and np.array_equal(predictions, plain(base, edit, 5))


def test_damaged_predictions_are_computed_again(base: BaseModel, small_benchmark: Benchmark, tmp_path: Path) -> None:
    edit = small_benchmark.edit
    expected = predict_samples(base, edit, 5, use_store=False)["base_label"].to_numpy(np.int16)
    assert not (tmp_path / "cache" / "predictions").exists()
    assert np.array_equal(predict_samples(base, edit, 5)["base_label"].to_numpy(np.int16), expected)
    (file,) = (tmp_path / "cache" / "predictions").rglob("shard-*.parquet")
    whole = file.read_bytes()
    at = whole.index(b"PAR1", 0) + 40
    wrong = io.BytesIO()
    table = pq.read_table(file)
    pq.write_table(table.set_column(2, "label", pa.array([999] * len(table), pa.int64())), wrong)  # whole, and not ours
    for damaged in (whole[:-30], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], b"", wrong.getvalue()):
        file.write_bytes(damaged)
        assert np.array_equal(predict_samples(base, edit, 5)["base_label"].to_numpy(np.int16), expected)
        assert file.read_bytes() == whole


def test_a_kill_costs_one_shard(
    base: BaseModel, small_benchmark: Benchmark, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 5)
    write = store.ModelPredictions.add

    def stops(self: store.ModelPredictions, table: pa.Table) -> None:
        if len(batches) == 3:
            raise KeyboardInterrupt
        write(self, table)

    with monkeypatch.context() as patch:
        patch.setattr(store.ModelPredictions, "add", stops)
        with pytest.raises(KeyboardInterrupt):
            predict_samples(base, small_benchmark.edit, 5)["base_label"].to_numpy(np.int16)
    assert batches == [5, 5, 3]
    assert np.array_equal(
        predict_samples(base, small_benchmark.edit, 5)["base_label"].to_numpy(np.int16),
        plain(base, small_benchmark.edit, 5),
    )
    assert batches == [5, 5, 3, 3]


def test_predictions_belong_to_weights_preprocessing_batches_and_images(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path
) -> None:
    other = small_vit(7)
    edit = small_benchmark.edit
    for model, samples, batch in (
        (base, edit, 5),
        (base, edit, 5),
        (BaseModel("small", other, PREPROCESSING, hash_weights(other)), edit, 5),
        (replace(base, preprocessing=replace(PREPROCESSING, interpolation="bilinear")), edit, 5),
        (base, edit, 4),
        (base, edit.take(range(12, -1, -1)), 5),
    ):
        assert np.array_equal(
            predict_samples(model, samples, batch)["base_label"].to_numpy(np.int16), plain(model, samples, batch)
        )
    assert len(list((tmp_path / "cache" / "predictions").iterdir())) == 4


def test_predictions_are_of_the_weights_as_they_are_now(base: BaseModel, small_benchmark: Benchmark) -> None:
    before = predict_samples(base, small_benchmark.edit)["base_label"].to_numpy(np.int16)
    base.module.head.weight.data.neg_()
    after = predict_samples(base, small_benchmark.edit)["base_label"].to_numpy(np.int16)
    assert np.array_equal(after, plain(base, small_benchmark.edit, SCORE_BATCH)) and not np.array_equal(after, before)


def test_a_cache_that_cannot_be_written_names_the_variable(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIT_EDIT_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="VIT_EDIT_BENCH_CACHE"):
        predict_samples(base, small_benchmark.edit, 5)["base_label"].to_numpy(np.int16)


def test_an_image_that_stands_twice_has_one_prediction(base: BaseModel, small_benchmark: Benchmark) -> None:
    twice = small_benchmark.edit.take([4, 0, 4, 7])
    assert np.array_equal(
        predict_samples(base, twice)["base_label"].to_numpy(np.int16), plain(base, twice, SCORE_BATCH)
    )


@pytest.mark.parametrize("use_store", [True, False])
def test_an_image_that_does_not_decode_is_named(base: BaseModel, small_benchmark: Benchmark, use_store: bool) -> None:
    edit = small_benchmark.edit
    encoded = [edit.image_bytes(row) for row in range(len(edit))]
    encoded[6] = encoded[6][:40]
    broken = replace(edit, source=EncodedImages("split", edit.source.ids, pa.chunked_array([encoded])))
    with pytest.raises(UserError, match=rf"^split: {edit.table['sha256'][6]} is broken \(not an image"):
        predict_samples(base, broken, use_store=use_store)["base_label"].to_numpy(np.int16)


class Blind(torch.nn.Module):
    """A model whose logits are not finite on images that are dark at the corner."""

    def __init__(self, vit: torch.nn.Module, value: float) -> None:
        super().__init__()
        self.vit, self.value = vit, value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.vit(images)
        logits[images[:, 0, 0, 0] < 0, 5] = self.value
        return logits


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_are_no_prediction(
    base: BaseModel, small_benchmark: Benchmark, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer for a benchmark and for what is mined, also when it comes from disk."""
    module = Blind(base.module, value)
    blind = replace(base, name="blind", module=module, weights_sha256=hash_weights(module))
    edit = small_benchmark.edit
    images = torch.stack([PREPROCESSING(decode(edit.image_bytes(row))) for row in range(len(edit))])
    dark = (images[:, 0, 0, 0] < 0).numpy()
    assert 0 < dark.sum() < len(edit)
    expected = np.where(dark, NOWHERE, plain(base, edit, SCORE_BATCH))
    for _ in range(2):
        assert predict_samples(blind, edit)["base_label"].to_numpy(np.int16).tolist() == expected.tolist()
        filtered, base_edit, _ = filter_benchmark(blind, small_benchmark)
        assert set(edit.table["sha256"][dark]) <= set(filtered.edit.table["sha256"])
        assert (base_edit == NOWHERE).sum() == dark.sum()
        mined = engine.predict([blind, base], edit.source, cache=store.predictions_folder(), progress=False)
        assert mined["blind_label"].tolist() == expected.tolist()
        assert mined["error"].tolist() == [store.NOT_FINITE if is_dark else "" for is_dark in dark]
        assert (mined[["blind_probability", "blind_margin"]].to_numpy()[dark] == 0).all()
        assert (mined["small_label"] == plain(base, edit, 64)).all() and (mined["small_probability"] > 0).all()
        monkeypatch.setattr(engine, "top2", None)
