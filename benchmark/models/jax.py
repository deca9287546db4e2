"""A ViT as JAX's vision_transformer (AugReg) and big_vision save it, in timm's layout.

Arrays are named by paths such as ``Transformer/encoderblock_0/LayerNorm_0/scale``; kernels have the input first. timm's
own reader of such files (`timm.models.vision_transformer._load_weights`) is the test: same values, so same logits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, cat

PATCHES = "embedding/kernel"
PREFIXES = ("", "opt/target/", "params/", "params/img/")  # before all names, the surest first; as timm's reader has it
# In a file's own order of the parts of a block: AugReg's numbers, or big_vision's.
RENAMED = (
    (r"^cls$", "cls_token"),
    (r"^(?:Transformer/posembed_input/)?pos_embedding$", "pos_embed"),
    (r"^embedding/", "patch_embed.proj/"),
    (r"^Transformer/encoder_norm/", "norm/"),
    (r"^head/", "head/"),
    (r"^Transformer/encoderblock_(\d+)/", r"blocks.\1."),
    (r"^(blocks\.\d+\.)LayerNorm_0/", r"\1norm1/"),
    (r"^(blocks\.\d+\.)LayerNorm_[12]/", r"\1norm2/"),
    (r"^(blocks\.\d+\.)MlpBlock_[03]/Dense_0/", r"\1mlp.fc1/"),
    (r"^(blocks\.\d+\.)MlpBlock_[03]/Dense_1/", r"\1mlp.fc2/"),
    (r"^(blocks\.\d+\.)MultiHeadDotProductAttention_[01]/out/", r"\1attn.proj/"),
    (r"^(blocks\.\d+\.)MultiHeadDotProductAttention_[01]/(query|key|value)/", r"\1attn.\2/"),
    (r"/(?:kernel|scale)$", ".weight"),
    (r"/bias$", ".bias"),
)
STACKED = re.compile(r"^Transformer/encoderblock/")  # big_vision's scan: all blocks in one array, by their first axis
PARTS = ("query", "key", "value")


def is_jax(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether weights have the names that these libraries give those of their ViTs."""
    return _prefix(tensors) is not None


def from_jax(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in timm's layout; what has no place in a ViT keeps its own name, so that loading it says so.

    An optimiser's state beside the weights is left out.
    """
    prefix = _prefix(tensors) or ""
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    renamed: dict[str, Tensor] = {}
    for name, tensor in _unstacked(own).items():
        timms = name
        for pattern, replacement in RENAMED:
            timms = re.sub(pattern, replacement, timms)
        renamed[timms] = _as_timm(timms, tensor)
    for weight in ("weight", "bias"):
        queries = [name for name in renamed if name.endswith(f".attn.query.{weight}")]
        for name in queries:
            parts = [name.replace(".query.", f".{part}.") for part in PARTS]
            if all(part in renamed for part in parts):
                renamed[name.replace(".query.", ".qkv.")] = cat([renamed.pop(part) for part in parts])
    return renamed


def _prefix(tensors: Mapping[str, Tensor]) -> str | None:
    return next((prefix for prefix in PREFIXES if f"{prefix}{PATCHES}" in tensors), None)


def _unstacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One array a block."""
    separate = {name: tensor for name, tensor in tensors.items() if not STACKED.match(name)}
    for name, tensor in tensors.items():
        if STACKED.match(name) and tensor.dim():
            for block, of_block in enumerate(tensor):
                separate[STACKED.sub(f"Transformer/encoderblock_{block}/", name)] = of_block
    return separate


def _as_timm(name: str, tensor: Tensor) -> Tensor:
    """An array of this (timm's) name with its axes as timm has them: the output first, heads joined."""
    if ".attn." in name and name.endswith(".bias"):
        return tensor.flatten()
    if re.search(r"\.attn\.(query|key|value)\.weight$", name) and tensor.dim() == 3:  # (width, heads, a head's width)
        return tensor.flatten(1).T.contiguous()
    if name.endswith(".attn.proj.weight") and tensor.dim() == 3:  # (heads, a head's width, width)
        return tensor.flatten(0, 1).T.contiguous()
    if name.endswith(".weight") and tensor.dim() == 4:  # (height, width, in, out)
        return tensor.permute(3, 2, 0, 1).contiguous()
    if name.endswith(".weight") and tensor.dim() == 2:
        return tensor.T.contiguous()
    if name == "pos_embed" and tensor.dim() == 2:
        return tensor.unsqueeze(0)
    return tensor
