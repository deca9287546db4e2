"""Preprocessing pixel by pixel as timm's own evaluation transform, for every shape, crop and interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg

from benchmark.images.decode import Preprocessing
from benchmark.models.identity import probe_image

NAMED = (
    "vit_base_patch16_224.augreg_in21k_ft_in1k",  # crop ratio 0.9, mean and std 0.5
    "vit_base_patch16_384.augreg_in21k_ft_in1k",  # whole image
    "vit_base_patch16_clip_224.openai_ft_in1k",
    "vit_large_patch14_clip_336.openai_ft_in12k_in1k",  # squash
    "vit_so400m_patch14_siglip_378.webli",  # a ratio at which floating-point // and floor differ
    "vit_base_patch32_224.sam_in1k",
    "deit3_base_patch16_224.fb_in1k",
    "deit_tiny_distilled_patch16_224.fb_in1k",
    "eva02_tiny_patch14_336.mim_in22k_ft_in1k",
    "beit_base_patch16_224.in22k_ft_in22k_in1k",
    "resnet50.tv_in1k",  # bilinear
    "csatv2.r512_in1k",
)
CHANGES = (
    {"input_size": (3, 48, 80), "crop_pct": 0.9},
    {"input_size": (3, 80, 48), "crop_pct": 0.875, "crop_mode": "squash"},
    {"input_size": (3, 56, 40), "crop_pct": 1.0, "crop_mode": "border", "mean": (0.4, 0.5, 0.6)},
    {"input_size": (3, 40, 40), "crop_pct": 0.77, "crop_mode": "border"},
    {"input_size": (3, 40, 40), "crop_pct": 1.3, "interpolation": "lanczos"},
    {"input_size": (3, 33, 33), "crop_pct": 0.7, "interpolation": "box"},
    {"input_size": (3, 33, 65), "crop_pct": 0.95, "interpolation": "nearest", "crop_mode": "squash"},
    {"input_size": (3, 32, 32), "crop_pct": 0.96, "interpolation": "hamming"},
)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    random = np.random.default_rng(5)
    return [
        Image.fromarray(random.integers(0, 256, (*shape, 3), dtype=np.uint8))
        for shape in ((120, 161), (90, 60), (31, 200), (64, 64))
    ]


@pytest.mark.parametrize("name", NAMED)
def test_named_models(name: str, images: list[Image.Image]) -> None:
    check(resolve_data_config({}, pretrained_cfg=get_pretrained_cfg(name).to_dict()), images)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_other_shapes_crops_and_interpolations(change: dict[str, object], images: list[Image.Image]) -> None:
    check(resolve_data_config({}, pretrained_cfg=change), images)


def check(config: dict[str, object], images: list[Image.Image]) -> None:
    ours, theirs = Preprocessing.from_timm(config), create_transform(**config, is_training=False)
    for image in images:
        assert torch.equal(ours(image), theirs(image))
    assert ours.shape == tuple(config["input_size"][1:]) and probe_image(ours).shape == (1, *config["input_size"])


def test_a_record_of_a_square_centre_crop_says_no_more_than_before() -> None:
    square = {"size": 32, "resize": 36, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}
    ours = Preprocessing(32, 36, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert ours.to_dict() == square
    wide = Preprocessing(32, 36, "bicubic", (0.5,) * 3, (0.5,) * 3, width=64, resize_width=72, crop="squash")
    assert wide.to_dict() == {**square, "width": 64, "resize_width": 72, "crop": "squash"}
    assert str(wide) == "images resized to 36 x 72 (bicubic, squash), cut to 32 x 64, mean 0.5, std 0.5"
