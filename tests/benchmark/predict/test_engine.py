"""Predictions for an image source: right, decoded once, resumable, broken images named."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images.decode import BrokenImage, Preprocessing
from benchmark.images.source import ImageSource
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from benchmark.predict import store
from benchmark.predict.engine import predict
from tests.conftest import PREPROCESSING, small_vit


class Noise(ImageSource):
    """Images of noise; those at `broken` do not decode. Counts how often each is opened."""

    def __init__(self, count: int, broken: tuple[int, ...] = (), names: Sequence[int] | None = None) -> None:
        self.names = range(count) if names is None else names
        self.known_by: Sequence[str] = self.ids
        self.broken, self.opened = broken, [0] * count

    @property
    def title(self) -> str:
        return "noise"

    @property
    def ids(self) -> list[str]:
        return [f"image-{number}" for number in self.names]

    @property
    def stamps(self) -> Sequence[str]:
        return self.known_by

    def read(self, position: int) -> bytes:
        raise NotImplementedError

    @contextlib.contextmanager
    def opening(self, position: int, draft: int | None = None) -> Iterator[Image.Image]:
        self.opened[position] += 1
        if position in self.broken:
            raise BrokenImage("cut off")
        noise = np.random.default_rng(self.names[position]).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        yield Image.fromarray(noise)


def models() -> list[BaseModel]:
    vits = {"a": small_vit(0), "b": small_vit(1)}
    return [BaseModel(name, vit, PREPROCESSING, hash_weights(vit)) for name, vit in vits.items()]


def test_against_one_image_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 7)
    source = Noise(17, broken=(3, 16))
    predictions = predict(models(), source, batch_size=3, progress=False)
    assert predictions["image"].tolist() == source.ids and source.opened == [1] * 17
    assert predictions["error"].tolist() == ["cut off" if n in source.broken else "" for n in range(17)]
    for model in models():
        for position in range(17):
            row = predictions.iloc[position]
            if position in source.broken:
                assert row[f"{model.name}_label"] == -1 and row[f"{model.name}_probability"] == 0
                continue
            with torch.no_grad(), source.opening(position) as image:
                probabilities = model.module(PREPROCESSING(image)[None]).softmax(-1)[0]
            first, second = probabilities.topk(2).values.tolist()
            assert row[f"{model.name}_label"] == probabilities.argmax()
            assert row[f"{model.name}_probability"] == pytest.approx(first, abs=1e-5)
            assert row[f"{model.name}_margin"] == pytest.approx(first - second, abs=1e-5)


def test_a_stop_costs_at_most_one_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 5)

    class Stops(Noise):
        @contextlib.contextmanager
        def opening(self, position: int, draft: int | None = None) -> Iterator[Image.Image]:
            if position == 12:
                raise KeyboardInterrupt
            with super().opening(position) as image:
                yield image

    with pytest.raises(KeyboardInterrupt):
        predict(models(), Stops(17), cache=tmp_path, progress=False)
    source = Noise(17)
    resumed = predict(models(), source, cache=tmp_path, progress=False)
    assert source.opened == [0] * 10 + [1] * 7
    assert resumed.equals(predict(models(), Noise(17), progress=False))


def test_only_what_is_new_is_computed(tmp_path: Path) -> None:
    predict(models(), Noise(4), cache=tmp_path, progress=False)
    vit = small_vit(5)
    other = BaseModel("a", vit, PREPROCESSING, hash_weights(vit))
    source, grown, rivals = Noise(4), Noise(6, names=[3, 0, 4, 1, 2, 5]), Noise(4)
    predict([other], source, cache=tmp_path, progress=False)
    assert source.opened == [1] * 4
    predictions = predict(models(), grown, cache=tmp_path, progress=False)
    assert grown.opened == [0, 0, 1, 0, 0, 1]
    anew = predict(models(), Noise(6, names=[3, 0, 4, 1, 2, 5]), progress=False)
    pd.testing.assert_frame_equal(predictions, anew, rtol=1e-5)  # other batches, other roundings
    both = predict([other, replace(models()[1], name="c")], rivals, cache=tmp_path, progress=False)
    assert rivals.opened == [0] * 4 and list(both.columns)[2::3] == ["a_label", "c_label"]


def test_what_could_change_a_prediction_is_in_the_key(tmp_path: Path) -> None:
    model = models()[0]
    half = replace(model, module=small_vit(0).bfloat16())
    other = replace(model, preprocessing=replace(PREPROCESSING, mean=(0.4, 0.5, 0.5)))
    predict([model], Noise(3), cache=tmp_path, progress=False)
    for changed, options in ((half, {}), (other, {}), (model, {"batch_size": 2})):
        source = Noise(3)
        predict([changed], source, cache=tmp_path, progress=False, **options)
        assert source.opened == [1] * 3


def test_an_image_whose_stamp_changed_is_predicted_again(tmp_path: Path) -> None:
    before, source = Noise(3), Noise(3)
    before.known_by, source.known_by = ("one", "\udcff two", "three"), ("one", "another", "three")
    predict(models(), before, cache=tmp_path, progress=False)
    predict(models(), source, cache=tmp_path, progress=False)
    assert source.opened == [0, 1, 0]


def test_an_image_that_is_there_twice_is_predicted_once() -> None:
    source = Noise(3)
    source.known_by = ("same", "other", "same")
    predictions = predict(models(), source, progress=False)
    assert source.opened == [1, 1, 0]
    assert (
        predictions["image"].tolist() == source.ids
        and predictions["a_probability"][0] == predictions["a_probability"][2]
    )


def test_a_resumed_run_makes_the_same_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 5)
    whole = predict(models(), Noise(17), batch_size=3, cache=tmp_path, progress=False)
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == 2
    kept = sorted(folders[0].iterdir())
    kept[0].unlink()
    kept[2].write_bytes(kept[2].read_bytes()[:100])  # damaged
    source = Noise(17)
    resumed = predict(models(), source, batch_size=3, cache=tmp_path, progress=False)
    assert sum(source.opened) in (7, 10)  # two shards; the last one is short
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)


def test_a_shard_that_was_changed_is_predicted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 5)
    whole = predict(models(), Noise(10), cache=tmp_path, progress=False)
    shards, others = (sorted(folder.iterdir()) for folder in sorted(tmp_path.iterdir()))
    source = Noise(10)
    table = pq.read_table(shards[0])
    lies = table.set_column(2, "label", pa.array([7] * len(table)))
    for changed in (lies, lies.replace_schema_metadata(None), table.set_column(3, "probability", pa.nulls(len(table)))):
        pq.write_table(changed, shards[0])
        pd.testing.assert_frame_equal(predict(models(), source, cache=tmp_path, progress=False), whole)
    assert sum(source.opened) == 3 * 5, "the shard that lies, and no other"
    shards[1].write_bytes(others[1].read_bytes())  # another model's predictions
    pd.testing.assert_frame_equal(predict(models(), source, cache=tmp_path, progress=False), whole)
    assert sum(source.opened) == 4 * 5


def test_shards_read_back_as_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 4)
    predictions = predict(models()[:1], Noise(10, broken=(2,)), cache=tmp_path, progress=False)
    (folder,) = tmp_path.iterdir()
    table = pd.read_parquet(folder)
    assert len(list(folder.iterdir())) == 3
    assert sorted(table["label"]) == sorted(predictions["a_label"])
    assert table.loc[table["error"] != "", "label"].tolist() == [-1]


def test_decoding_runs_ahead_but_not_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the models are, only a few decoded images wait for them."""
    from benchmark.predict import engine as module

    source, most = Noise(200), 0
    run = module.top2

    def slow(vit: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        nonlocal most
        time.sleep(0.05)
        slow.taken += len(images)
        most = max(most, sum(source.opened) - slow.taken)
        return run(vit, images)

    slow.taken = 0
    monkeypatch.setattr(module, "top2", slow)
    predict(models()[:1], source, batch_size=8, progress=False)
    assert 8 <= most <= (module.AHEAD + 1) * 8


def test_equal_preprocessing_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(Preprocessing, "__call__", lambda self, image: calls.append(self) or torch.zeros(3, 32, 32))
    predict(models(), Noise(5), progress=False)
    assert len(calls) == 5


def test_a_full_disk_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> None:
        with Path("/dev/full").open("wb") as file:
            file.write(data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot be written .*No space left on device.*name another folder"):
        predict(models(), Noise(3), cache=tmp_path, progress=False)


def test_an_empty_source_gives_an_empty_table() -> None:
    assert list(predict(models(), Noise(0), progress=False).columns)[:3] == ["image", "error", "a_label"]
