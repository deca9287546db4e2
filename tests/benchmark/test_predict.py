"""Predictions over a pool: right, decoded once, resumable, broken images named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import predict as module
from benchmark.images import BrokenImage
from benchmark.models import BaseModel, hash_weights
from benchmark.predict import predict
from tests.conftest import PREPROCESSING, small_vit


class Noise:
    """Images of noise; those at `broken` do not decode. Counts how often each is opened."""

    def __init__(self, count: int, broken: tuple[int, ...] = ()) -> None:
        self.ids = [f"image-{number}" for number in range(count)]
        self.broken, self.opened = broken, [0] * count

    def __len__(self) -> int:
        return len(self.ids)

    def open(self, position: int) -> Image.Image:
        self.opened[position] += 1
        if position in self.broken:
            raise BrokenImage("cut off")
        noise = np.random.default_rng(position).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        return Image.fromarray(noise)


def models() -> list[BaseModel]:
    vits = {"a": small_vit(0), "b": small_vit(1)}
    return [BaseModel(name, vit, PREPROCESSING, hash_weights(vit)) for name, vit in vits.items()]


def test_against_one_image_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 7)
    pool = Noise(17, broken=(3, 16))
    found = predict(models(), pool, batch_size=3, progress=False)
    assert found["image"].tolist() == pool.ids and pool.opened == [1] * 17
    assert found["error"].tolist() == ["cut off" if n in pool.broken else "" for n in range(17)]
    for model in models():
        for position in range(17):
            row = found.iloc[position]
            if position in pool.broken:
                assert row[f"{model.name}_label"] == -1 and row[f"{model.name}_probability"] == 0
                continue
            with torch.no_grad():
                probabilities = model.module(PREPROCESSING(pool.open(position))[None]).softmax(-1)[0]
            first, second = probabilities.topk(2).values.tolist()
            assert row[f"{model.name}_label"] == probabilities.argmax()
            assert row[f"{model.name}_probability"] == pytest.approx(first, abs=1e-5)
            assert row[f"{model.name}_margin"] == pytest.approx(first - second, abs=1e-5)


def test_a_stop_costs_at_most_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 5)

    class Stops(Noise):
        def open(self, position: int) -> Image.Image:
            if position == 12:
                raise KeyboardInterrupt
            return super().open(position)

    with pytest.raises(KeyboardInterrupt):
        predict(models(), Stops(17), cache=tmp_path, progress=False)
    pool = Noise(17)
    resumed = predict(models(), pool, cache=tmp_path, progress=False)
    assert pool.opened == [0] * 10 + [1] * 7
    assert resumed.equals(predict(models(), Noise(17), progress=False))


def test_other_weights_or_images_are_not_taken_for_the_same(tmp_path: Path) -> None:
    predict(models(), Noise(4), cache=tmp_path, progress=False)
    other = small_vit(5)
    pool = Noise(4)
    predict([BaseModel("a", other, PREPROCESSING, hash_weights(other))], pool, cache=tmp_path, progress=False)
    longer = Noise(5)
    predict(models(), longer, cache=tmp_path, progress=False)
    assert pool.opened == [1] * 4 and longer.opened == [1] * 5


def test_an_empty_pool_gives_an_empty_table() -> None:
    assert list(predict(models(), Noise(0), progress=False).columns)[:3] == ["image", "error", "a_label"]
