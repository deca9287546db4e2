"""Prediction over a local Ray cluster of two workers: the same results, also when a worker is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images.folder import ImageFolder
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from benchmark.predict import store
from benchmark.predict.engine import predict
from benchmark.predict.ray import ray_engine
from tests.conftest import PREPROCESSING, small_vit
from tests.local_ray import local_ray
from tests.mad.searching import call


def two_models() -> list[BaseModel]:
    vits = {"a": small_vit(0), "b": small_vit(1)}
    return [BaseModel(name, vit, PREPROCESSING, hash_weights(vit)) for name, vit in vits.items()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with local_ray(tmp_path_factory.mktemp("cache")):
        yield


@dataclass(frozen=True)
class Deadly(ImageFolder):
    """A folder in which opening one picture kills the process, once. With `always`, each time."""

    marks: Path = Path()
    deadly: int = 0
    always: bool = False

    @contextlib.contextmanager
    def opening(self, position: int, draft: int | None = None) -> Iterator[Image.Image]:
        (self.marks / f"{os.getpid()}").touch()
        mark = self.marks / "killed"
        if position == self.deadly and (self.always or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with super().opening(position, draft) as image:
            yield image


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Photographs of noise, large enough for a draft; one that is none."""
    (tmp_path / "noise").mkdir()
    for i in range(23):
        pixels = np.random.default_rng(i).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(tmp_path / "noise" / f"{i:02d}.jpg")
    (tmp_path / "noise" / "07.jpg").write_text("no image")
    (tmp_path / "marks").mkdir()
    return tmp_path / "noise"


@pytest.mark.parametrize("draft", [None, 64])
def test_results_equal_a_single_machine(cluster, noise: Path, draft, monkeypatch) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 4)
    settings = {"batch_size": 3, "progress": False, "draft": draft}
    local = predict(two_models(), ImageFolder(noise), **settings)
    distributed = predict(two_models(), ImageFolder(noise), engine=ray_engine(), **settings)
    pd.testing.assert_frame_equal(distributed, local, check_exact=True)
    assert (local["error"] != "").sum() == 1


def test_a_killed_worker_loses_nothing(cluster, noise: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 4)
    pool = Deadly(noise, marks=tmp_path / "marks", deadly=9)
    settings = {"batch_size": 3, "progress": False}
    distributed = predict(two_models(), pool, engine=ray_engine(), cache=tmp_path / "cache", **settings)
    assert (tmp_path / "marks" / "killed").exists()
    assert not (tmp_path / "marks" / f"{os.getpid()}").exists()  # the driver opens nothing
    pd.testing.assert_frame_equal(distributed, predict(two_models(), ImageFolder(noise), **settings), check_exact=True)
    assert [len(list(folder.iterdir())) for folder in (tmp_path / "cache").iterdir()] == [6, 6]


def test_a_search_over_ray_writes_the_same_files(
    cluster, elsewhere, pair, pictures: Path, tmp_path: Path, monkeypatch
) -> None:
    for engine in ("local", "ray"):
        monkeypatch.setenv("VIT_EDIT_BENCH_CACHE", str(tmp_path / f"{engine}-cache"))
        (tmp_path / engine).mkdir()
        monkeypatch.chdir(tmp_path / engine)
        call("--pair", pair, "--pool", pictures, "--out", "out", "--engine", engine)
    results = [
        {path.relative_to(tmp_path / engine): path.read_bytes() for path in (tmp_path / engine).rglob("*.*")}
        for engine in ("local", "ray")
    ]
    assert results[0] == results[1] and len(results[0]) > 8


def test_an_error_of_a_pool_is_raised_as_it_is(cluster, noise: Path) -> None:
    class Faulty(ImageFolder):
        @contextlib.contextmanager
        def opening(self, position: int, draft: int | None = None) -> Iterator[Image.Image]:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        predict(two_models(), Faulty(noise), engine=ray_engine(), progress=False)


def test_a_shard_that_always_kills_is_one_line_and_the_others_are_kept(cluster, noise, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(store, "SHARD_SIZE", 4)
    monkeypatch.setattr("benchmark.core.cluster.RETRIES", 0)
    pool = Deadly(noise, marks=tmp_path / "marks", deadly=22, always=True)
    with pytest.raises(UserError, match="could not be computed on the Ray cluster, 0 retries included"):
        predict(two_models(), pool, engine=ray_engine(), cache=tmp_path / "cache", batch_size=3, progress=False)
    assert len(list((tmp_path / "cache").rglob("shard-*"))) >= 2


def test_without_ray_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'pip install "ray>=2.40"'):
        ray_engine()
