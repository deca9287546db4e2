"""Models and inputs that cannot be edited here are refused with the reason."""

from __future__ import annotations

import pytest
import timm

from benchmark.core.errors import UserError
from benchmark.models.checks import check_supported


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_token": False, "global_pool": "avg"}, "class token"),
        ({"global_pool": "avg"}, "class token"),
        ({"num_classes": 0}, "head"),
        ({"mlp_layer": timm.layers.GluMlp}, "GluMlp"),
        ({"block_fn": timm.models.vision_transformer.ParallelScalingBlock}, "ParallelScalingBlock"),
    ],
)
def test_other_models_are_refused_with_the_reason(settings: dict, words: str) -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, embed_dim=24, depth=2, num_heads=3, **settings)
    with pytest.raises(UserError, match=words):
        check_supported(model)
    with pytest.raises(UserError, match="ResNet"):
        check_supported(timm.create_model("resnet10t"))
