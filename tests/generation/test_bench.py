"""The generation benchmark with tiny networks: it comes out, its networks are of the stated size, and it notices."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.core.cli import run
from benchmark.core.errors import UserError
from generation import bench
from generation.diffusion import batches as diffusion

FEW: dict[str, Any] = {"size": "tiny", "device": "cpu", "images": 3, "steps": 2, "batch_size": 2, "repeats": 1}


def test_it_prints_and_writes_what_it_measured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--size", "tiny", "--images", "3", "--steps", "2", "--batch-size", "2", "--repeats", "1"]
    run(bench.main, [*words, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["images"], found["batch_size"], found["pixels"], found["saved"]) == (3, 2, 16, 16)
    assert found["precision"] == "float32" and found["farthest"] <= 1 and found["distinct"] > 2
    printed = capsys.readouterr().out
    assert f"{3600 * 3 / found['ours']['median']:,.0f} images/h" in printed
    assert f"{found['plain']['median'] / found['ours']['median']:.2f}x" in printed and found["device"] in printed


def test_the_large_networks_have_as_many_parameters_as_stable_diffusion_2() -> None:
    """The sizes of its published weight files, 3.46, 0.335 and 1.36 GB in float32, to the parameter."""
    pipe = bench.random_pipeline(bench.SD2, torch.device("meta"))
    parts = {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840}
    assert {part: sum(p.numel() for p in getattr(pipe, part).parameters()) for part in parts} == parts
    assert pipe.unet.config.sample_size * pipe.vae_scale_factor == 768 == pipe.vae.config.sample_size
    assert len(pipe.tokenizer("a stingray", padding="max_length").input_ids) == 77, "the published length of a prompt"


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("another seed", "differs from"),
        ("one pixel", "by 2 of 255"),
        ("an image less", r"images \(2, .*plain ones \(3, "),
    ],
)
def test_other_images_are_noticed(monkeypatch: pytest.MonkeyPatch, planted: str, said: str) -> None:
    """Something is amiss with the last of the three images."""
    real = diffusion.sample

    def sample(pipe, prompt, jobs, settings):
        if planted == "another seed":
            return real(pipe, prompt, [(index, 7 if number == 2 else number) for index, number in jobs], settings)
        images = real(pipe, prompt, jobs, settings)
        if planted == "one pixel" and jobs[0][1] == 2:
            red, green, blue = images[0].getpixel((3, 3))
            images[0].putpixel((3, 3), (red, green, blue + (2 if blue < 128 else -2)))
        return images

    monkeypatch.setattr(diffusion, "sample", sample)
    if planted == "an image less":
        ours = bench.Case.ours
        monkeypatch.setattr(bench.Case, "ours", lambda case, out: ours(dataclasses.replace(case, images=2), out))
    with pytest.raises(AssertionError, match=said):
        bench.measure(**FEW)


def test_a_batch_that_does_not_fit_is_halved_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = diffusion.sample, []

    def sample(pipe, prompt, jobs, settings):
        asked.append(len(jobs))
        if len(jobs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(pipe, prompt, jobs, settings)

    monkeypatch.setattr(diffusion, "sample", sample)
    assert bench.measure(**FEW).batch_size == 1
    assert asked == [2, 1, 1, 1, *(1, 1, 1)]


def test_comparing_by_hand() -> None:
    plain = np.zeros((2, 2, 2, 3), np.uint8)
    plain[1] = 100
    ours = plain.copy()
    ours[0, 0, 0] = 8  # 24 / 12 on average
    assert bench.compare(ours, plain, half=True) == (2.0, 8, 100.0)
    with pytest.raises(AssertionError, match=r"differs from a plain call's by 8 of 255 somewhere, allowed 1"):
        bench.compare(ours, plain, half=False)
    ours[0, 0, 1, 0] = 1
    with pytest.raises(AssertionError, match=r"by 2.08 of 255 on average, allowed 2"):
        bench.compare(ours, plain, half=True)
    with pytest.raises(AssertionError, match="too alike to compare"):
        bench.compare(plain[:1].repeat(2, 0), plain[:1].repeat(2, 0), half=True)


def test_what_cannot_be_compared_or_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--images is at least 2"):
        bench.measure(**{**FEW, "images": 1})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device"):
        bench.measure(**{**FEW, "device": "cuda"})
