"""The config.json of the models that are made here, in timm's own layout."""

from __future__ import annotations

from typing import Any


def timm_config(
    architecture: str,
    width: int,
    model_args: dict[str, Any],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    licence: str,
) -> dict[str, Any]:
    """The config of a ViT of ImageNet's 1,000 classes; its images are as large as `model_args` says."""
    side = model_args["img_size"]
    return {
        "architecture": architecture,
        "num_classes": 1000,
        "num_features": width,
        "global_pool": "token",
        "model_args": model_args,
        "pretrained_cfg": {
            "input_size": [3, side, side],
            "fixed_input_size": True,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": list(mean),
            "std": list(std),
            "num_classes": 1000,
            "pool_size": None,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "license": licence,
        },
    }
