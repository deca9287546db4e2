"""A ViTForImageClassification of the transformers library in timm's layout.

Both compute the same, up to rounding, where they have the same shape, heads, activation and epsilon; the library's own
forward is the test. Other models of that library are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.core.readers import Unreadable, read_json

PATCHES = "embeddings.patch_embeddings.projection.weight"
# Names in files of releases 4 and 5, and in modules of release 5, to timm's.
RENAMED = (
    (r"^classifier\.", "head."),
    (r"^vit\.layernorm\.", "norm."),
    (r"^vit\.embeddings\.cls_token$", "cls_token"),
    (r"^vit\.embeddings\.position_embeddings$", "pos_embed"),
    (r"^vit\.embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^vit\.(?:encoder\.)?layers?\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.(?:attention\.)?(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
)
PARTS = (("query", "key", "value"), ("q", "k", "v"))
DEFAULTS = {"hidden_act": "gelu", "qkv_bias": True, "layer_norm_eps": 1e-12}  # of ViTConfig


def is_transformers(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether weights have the names that the transformers library gives those of its ViTs."""
    return any(name.endswith(PATCHES) for name in tensors)


def from_transformers(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Weights in timm's layout, with exactly the names of `expected`.

    Raises `UserError` for another model than a ViTForImageClassification, and for one without a head.
    """
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, timms in RENAMED:
            name = re.sub(pattern, timms, name)
        renamed[name] = tensor
    if "head.weight" not in renamed:
        raise UserError(f"{path}: weights of the transformers library without a head (classifier): no classifier")
    for name in [name for name in expected if ".attn.qkv." in name]:
        for parts in PARTS:
            names = [name.replace(".qkv.", f".{part}.") for part in parts]
            if all(part in renamed for part in names):
                renamed[name] = torch.cat([renamed.pop(part) for part in names])
    if renamed.keys() != expected.keys():
        odd = sorted(renamed.keys() ^ expected.keys())[0]
        raise UserError(
            f"{path}: of the transformers library's models only a ViTForImageClassification of the named depth is "
            f"converted, and {odd} does not fit; write its state_dict() under timm's names"
        )
    return renamed


def check_config(file: Path, heads: int) -> None:
    """Raise `UserError` if the library's ``config.json`` beside weights asks for what timm's model does not compute."""
    try:
        config = {**DEFAULTS, **read_json(file)}
    except Unreadable:
        return  # weights alone tell no more
    if config.get("model_type") != "vit":
        return
    required = {"num_attention_heads": heads, "hidden_act": "gelu", "qkv_bias": True}
    for key, value in required.items():
        if config.get(key, value) != value:
            raise UserError(f"{file}: {key} must be {value} as in the named model, not {config[key]}; name another one")
    epsilon = config["layer_norm_eps"]
    if not (isinstance(epsilon, (int, float)) and epsilon <= 1e-5):
        raise UserError(f"{file}: layer_norm_eps must be at most 1e-5, not {config['layer_norm_eps']}")
