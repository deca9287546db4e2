"""The speed benchmark's own parts: the same predictions both ways, and a check that finds other ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.images.decode import Preprocessing
from benchmark.models.load import BaseModel
from leaderboard import bench
from leaderboard.judging.judge import Judge


@pytest.fixture(autouse=True)
def small(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "random_base", lambda *_, **__: base)
    monkeypatch.setattr(bench, "matmul_ceiling", lambda _: 1e9)


def test_the_judge_and_the_plain_way_see_the_same_images_and_agree(base: BaseModel) -> None:
    pixels = bench.noise_images(base.module, 20)
    edit = bench.random_edit(base.module)
    group, locality, way = Judge(base, bench.noise_benchmark(pixels, 4)).judge(edit, bench.GROUP_ID)
    edited, unedited = bench.plain_judge(base.module, edit, pixels)
    assert (len(group), len(locality), way) == (4, 16, "tail")
    near, flips, changed = bench.agreement(np.concatenate([group, locality]), edited, unedited)
    assert flips <= near
    assert 0 < changed == int((edited.argmax(-1) != unedited.argmax(-1)).sum())


def test_a_prediction_that_differs_is_found_unless_it_is_near() -> None:
    sure, near = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0 + 5e-5]])
    logits = torch.cat([sure, near])
    assert bench.agreement(np.array([1, 1]), logits, logits) == (1, 1, 0)
    with pytest.raises(AssertionError, match="1 of 2"):
        bench.agreement(np.array([0, 2]), logits, logits)


def test_the_command_prints_a_ratio_and_keeps_the_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.main("mini", quick=True, images=40, json=tmp_path / "speed.json")
    assert "score: " in capsys.readouterr().out
    kept = json.loads((tmp_path / "speed.json").read_text())
    assert kept["images"] == 40 and kept["speed"]["plain_flops"] > 2 * kept["speed"]["ours_flops"]


def test_decoding_is_measured() -> None:
    assert bench.decoded_a_second(Preprocessing(32, 36, "bilinear", (0.5,) * 3, (0.5,) * 3), seconds=0.01) > 0
