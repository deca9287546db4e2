"""Images an hour with tiny networks: both variants make the same images, and other ones are noticed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.core.errors import UserError
from generation.diffusion import batches as diffusion
from generation.measures import images as measures

FEW: dict[str, Any] = {"size": "tiny", "device": "cpu", "images": 3, "steps": 2, "batch_size": 2, "repeats": 1}


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ("another seed", "differs from"),
        ("one pixel", "by 2 of 255"),
        ("an image less", r"images \(2, .*plain ones \(3, "),
    ],
)
def test_other_images_are_noticed(monkeypatch: pytest.MonkeyPatch, planted: str, message: str) -> None:
    """Something is amiss with the last of the three images."""
    real = diffusion.sample

    def sample(pipe, prompt, seeds, settings):
        if planted == "another seed":
            return real(pipe, prompt, [seed + 5 if seed % 10 == 2 else seed for seed in seeds], settings)
        images = real(pipe, prompt, seeds, settings)
        if planted == "one pixel" and seeds[0] % 10 == 2:
            images[0][3, 3, 2] += 2 / 255 if images[0][3, 3, 2] < 0.5 else -2 / 255
        return images

    monkeypatch.setattr(diffusion, "sample", sample)
    if planted == "an image less":
        run_ours = measures.Case.run_ours
        monkeypatch.setattr(
            measures.Case, "run_ours", lambda case, out: run_ours(dataclasses.replace(case, images=2), out)
        )
    with pytest.raises(AssertionError, match=message):
        measures.measure_images(**FEW)


def test_a_batch_that_does_not_fit_is_halved_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    real, batch_sizes = diffusion.sample, []

    def sample(pipe, prompt, seeds, settings):
        batch_sizes.append(len(seeds))
        if len(seeds) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(pipe, prompt, seeds, settings)

    monkeypatch.setattr(diffusion, "sample", sample)
    assert measures.measure_images(**FEW).batch_size == 1
    assert batch_sizes == [2, 1, 1, 1, *(1, 1, 1)]


def test_comparing_by_hand() -> None:
    plain = np.zeros((2, 2, 2, 3), np.uint8)
    plain[1] = 100
    ours = plain.copy()
    ours[0, 0, 0] = 8  # 24 / 12 on average
    assert measures.compare(ours, plain, half=True) == (2.0, 8, 100.0)
    with pytest.raises(AssertionError, match=r"differs from a plain call's by 8 of 255 somewhere, allowed 1"):
        measures.compare(ours, plain, half=False)
    ours[0, 0, 1, 0] = 1
    with pytest.raises(AssertionError, match=r"by 2.08 of 255 on average, allowed 2"):
        measures.compare(ours, plain, half=True)
    with pytest.raises(AssertionError, match="too alike to compare"):
        measures.compare(plain[:1].repeat(2, 0), plain[:1].repeat(2, 0), half=True)


def test_what_cannot_be_compared_or_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--limit must be 2"):
        measures.measure_images(**{**FEW, "images": 1})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device"):
        measures.measure_images(**{**FEW, "device": "cuda"})
