"""Pseudo-samples: what CutMix and PGD may change, and that each depends on its own number alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images.decode import Preprocessing
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from editors.methods.hypernetwork.pseudo import PGD_RADIUS, PseudoSamples, cutmix_box, pgd
from editors.training.images import open_training_images
from editors.training.losses import divergence
from editors.training.views import crop_box
from tests.editors.methods.hypernetwork.conftest import quick


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_released_boxes_are_three_to_eight_patches_on_the_grid() -> None:
    boxes = torch.tensor([cutmix_box(224, 16, random(seed)) for seed in range(2000)])
    assert (boxes % 16 == 0).all()
    assert boxes[:, 2:].unique().tolist() == [16 * n for n in range(3, 9)]
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:]).max() == 224
    assert (boxes[:, 2] != boxes[:, 3]).any(), "height and width are drawn independently"


def test_papers_boxes_are_squares_of_48_to_128_pixels() -> None:
    boxes = torch.tensor([cutmix_box(224, None, random(seed)) for seed in range(3000)])
    assert (boxes[:, 2] == boxes[:, 3]).all()
    assert boxes[:, 2].unique().tolist() == list(range(48, 129))
    assert (boxes[:, :2] + boxes[:, 2:]).max() == 224 and (boxes % 16).any()


@pytest.mark.parametrize(
    ("size", "patch", "sides"), [(64, 16, [16, 32]), (32, 16, [16]), (384, 16, range(80, 225, 16))]
)
def test_boxes_of_other_sizes(size: int, patch: int, sides: list[int]) -> None:
    boxes = torch.tensor([cutmix_box(size, patch, random(seed)) for seed in range(500)])
    assert boxes[:, 2].unique().tolist() == list(sides)


def test_crops_keep_to_their_area_and_ratio() -> None:
    boxes = np.array([crop_box(300, 400, 0.25, random(seed)) for seed in range(1000)])
    areas, ratios = boxes[:, 2] * boxes[:, 3] / 120_000, boxes[:, 3] / boxes[:, 2]
    assert areas.min() >= 0.245 and areas.min() < 0.3 and areas.max() > 0.9 and areas.max() <= 1
    assert ratios.min() >= 0.74 and ratios.max() <= 1.35
    assert (boxes[:, 0] + boxes[:, 2] <= 300).all() and (boxes[:, 1] + boxes[:, 3] <= 400).all()
    assert crop_box(10, 1000, 0.9, random(0)) == (0, 493, 10, 13)  # too long for ten draws: the middle


@pytest.mark.parametrize("name", ["released", "paper"])
def test_x_is_x_prime_but_for_one_patch(tiny: BaseModel, source: ImageSource, name: str) -> None:
    clean, altered = PseudoSamples(tiny, source, quick(name), seed=1).batch(range(20))
    assert clean.shape == altered.shape == (20, 3, 32, 32)
    changed = (clean != altered).any(1)
    for patch in changed:
        rows, columns = patch.any(1).nonzero().flatten(), patch.any(0).nonzero().flatten()
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        if name == "released":
            assert height <= 16 and width <= 16
        else:
            assert max(height, width) <= 18  # 8/14 of 32


@pytest.mark.parametrize("pseudo", ["cutmix", "pgd"])
def test_each_is_drawn_from_its_number_alone(tiny: BaseModel, source: ImageSource, pseudo: str) -> None:
    recipe = quick(pseudo=pseudo)
    clean, altered = PseudoSamples(tiny, source, recipe, seed=1).batch(range(12))  # over the end of an epoch
    for number in (0, 5, 11):
        alone = PseudoSamples(tiny, source, recipe, seed=1).batch([number])
        assert torch.equal(alone[0][0], clean[number])
        torch.testing.assert_close(alone[1][0], altered[number])
    other = PseudoSamples(tiny, source, recipe, seed=2).batch(range(12))
    assert not torch.equal(other[0], clean)


def test_pgd_stays_in_its_ball_and_in_the_picture_and_moves_the_prediction(tiny: BaseModel) -> None:
    normalise = Preprocessing(32, 32, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.5))
    mean, std = torch.tensor(normalise.mean).view(3, 1, 1), torch.tensor(normalise.std).view(3, 1, 1)
    pixels = torch.rand(4, 3, 32, 32, generator=random(0)).round(decimals=1)  # with black and white ones
    clean, start = (pixels - mean) / std, 2 * torch.rand(4, 3, 32, 32, generator=random(1)) - 1
    altered = pgd(tiny.module, clean, start, normalise)
    moved = altered * std + mean
    assert moved.min() >= -1e-6 and moved.max() <= 1 + 1e-6
    assert (moved - pixels).abs().max() <= PGD_RADIUS + 1e-6
    begun = (pixels + start * PGD_RADIUS).clamp(0, 1)
    target_logits = tiny.module(clean)
    before = divergence(tiny.module((begun - mean) / std), target_logits, 1.0)
    assert (divergence(tiny.module(altered), target_logits, 1.0) > 3 * before).all()


def test_a_broken_image_is_named(tiny: BaseModel, folder: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG")
    for image in folder.rglob("*.png"):
        image.write_bytes(buffer.getvalue()[:60])
    samples = PseudoSamples(tiny, open_training_images(str(folder)), quick(), seed=0)
    with pytest.raises(UserError, match=r"\.png is broken .*remove it or fetch it again"):
        samples.batch(range(4))
