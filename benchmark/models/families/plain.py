"""The plain pre-norm ViT, timm's VisionTransformer, which classifies from its [cls] token."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from benchmark.models.family import Family, Model, Taps
from benchmark.models.layers import Overrides, linear, norm, per_edit, scale


class PlainViT(Family):
    """timm's VisionTransformer with its Block, Attention and Mlp, with or without LayerScale and the further norms."""

    model_class = VisionTransformer

    def problem(self, model: Model) -> str:
        """See `Family.problem`."""
        if model.cls_token is None or model.global_pool != "token" or model.attn_pool is not None:
            return f'it pools by "{model.global_pool}" and not from a class token'
        if not isinstance(model.fc_norm, nn.Identity) or not isinstance(model.head, nn.Linear):
            return "its head is not one linear layer"
        for block in model.blocks:
            if type(block) is not Block:
                return f"its blocks are of type {type(block).__name__}"
            if type(block.mlp) is not Mlp or type(block.attn) is not Attention:
                return f"its blocks hold {type(block.mlp).__name__} and {type(block.attn).__name__}"
            if not isinstance(block.mlp.fc1, nn.Linear) or not isinstance(block.mlp.norm, nn.Identity):
                return "its FFNs are not two linear layers"
            if getattr(block.attn, "gate", None) is not None:
                return "its attention is gated"
        return ""

    def embed(self, model: Model, images: Tensor) -> Tensor:
        """See `Family.embed`."""
        return model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))

    def attention(self, model: Model, block: int, tokens: Tensor, overrides: Overrides) -> Tensor:
        """See `Family.attention`; of the last block only the leading tokens ask."""
        module, name = model.blocks[block], f"blocks.{block}"
        attn = module.attn
        normed = norm(module.norm1, f"{name}.norm1", tokens, overrides)
        if block == len(model.blocks) - 1:
            tokens = tokens[..., : self.leading, :]
            mixed = _asked_by(normed[..., : self.leading, :], normed, attn, f"{name}.attn", overrides)
        else:
            query, key, value = linear(attn.qkv, f"{name}.attn.qkv", normed, overrides).chunk(3, -1)
            mixed = _attend(query, key, value, attn, f"{name}.attn", overrides)
        if hasattr(attn, "norm"):
            mixed = norm(attn.norm, f"{name}.attn.norm", mixed, overrides)
        mixed = linear(attn.proj, f"{name}.attn.proj", mixed, overrides)
        return tokens + scale(module.ls1, f"{name}.ls1", mixed, overrides)

    def hidden(self, model: Model, block: int, tokens: Tensor, overrides: Overrides, taps: Taps | None) -> Tensor:
        """See `Family.hidden`."""
        name, mlp = f"blocks.{block}", model.blocks[block].mlp
        inputs = norm(model.blocks[block].norm2, f"{name}.norm2", tokens, overrides)
        outputs = linear(mlp.fc1, f"{name}.mlp.fc1", inputs, overrides)
        if taps is not None:
            taps[f"{name}.mlp.fc1.weight"] = inputs, outputs
        return mlp.act(outputs)

    def after_ffn(
        self, model: Model, block: int, tokens: Tensor, hidden: Tensor, overrides: Overrides, taps: Taps | None
    ) -> Tensor:
        """See `Family.after_ffn`."""
        name = f"blocks.{block}"
        outputs = linear(model.blocks[block].mlp.fc2, f"{name}.mlp.fc2", hidden, overrides)
        if taps is not None:
            taps[f"{name}.mlp.fc2.weight"] = hidden, outputs
        return tokens + scale(model.blocks[block].ls2, f"{name}.ls2", outputs, overrides)

    def logits(self, model: Model, tokens: Tensor, overrides: Overrides) -> Tensor:
        """See `Family.logits`."""
        features = norm(model.norm, "norm", tokens[..., :1, :], overrides)
        return linear(model.head, "head", features, overrides).squeeze(-2)


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """(..., T, heads * d) as (..., heads, T, d)."""
    return tokens.unflatten(-1, (heads, -1)).transpose(-3, -2)


def _attend(query: Tensor, key: Tensor, value: Tensor, attn: Any, name: str, overrides: Overrides) -> Tensor:
    """Attention, (..., L, heads * d), of queries (..., L, heads * d) to keys and values (..., T, heads * d)."""
    query, key, value = (_heads(projected, attn.num_heads) for projected in (query, key, value))
    query = norm(attn.q_norm, f"{name}.q_norm", query, overrides)
    key = norm(attn.k_norm, f"{name}.k_norm", key, overrides)
    batch = query.shape[:-3]  # fused attention takes one batch axis
    mixed = F.scaled_dot_product_attention(query.flatten(0, -4), key.flatten(0, -4), value.flatten(0, -4))
    return mixed.transpose(-3, -2).flatten(-2).unflatten(0, batch)


def _asked_by(leading: Tensor, tokens: Tensor, attn: Any, name: str, overrides: Overrides) -> Tensor:
    """Attention, (..., L, heads * d), of the few tokens `leading` (..., L, N) to all `tokens` (..., T, N).

    Where keys have no norm of their own, keys and values of all tokens are not computed: q (W_k x + b_k) is (W_k^T q) x
    and a number that is the same for all tokens, of which softmax takes no notice; and the weighted sum of W_v x + b_v
    is W_v times the weighted sum of x, and b_v. So W_k and W_v meet L vectors a head instead of T.
    """
    heads, width = attn.num_heads, attn.num_heads * attn.head_dim
    query = linear(attn.qkv, f"{name}.qkv", leading, overrides, slice(0, width))
    if not isinstance(attn.k_norm, nn.Identity):
        key, value = linear(attn.qkv, f"{name}.qkv", tokens, overrides, slice(width, 3 * width)).chunk(2, -1)
        return _attend(query, key, value, attn, name, overrides)
    weight = overrides.get(f"{name}.qkv.weight", attn.qkv.weight)
    edits = len(weight) if weight.dim() == 3 else 1
    by_head = (
        weight.unflatten(-2, (3, heads, attn.head_dim)).movedim(-4, 0).reshape(3, edits * heads, attn.head_dim, -1)
    )
    query = norm(attn.q_norm, f"{name}.q_norm", _heads(query, heads), overrides)
    n_leading, flat = query.shape[-2], tokens.flatten(0, -3)

    def times(vectors: Tensor, matrices: Tensor) -> Tensor:
        """Vectors (images, heads * L, x), each times its own head's matrix (edits * heads, x, y)."""
        grouped = vectors.reshape(edits, -1, heads, n_leading, vectors.shape[-1]).transpose(1, 2)
        product = torch.bmm(grouped.reshape(edits * heads, -1, vectors.shape[-1]), matrices)
        split = product.unflatten(0, (edits, heads)).unflatten(2, (-1, n_leading)).transpose(1, 2)
        return split.reshape(len(vectors), heads * n_leading, -1)

    asked = times(query.reshape(len(flat), heads * n_leading, -1), by_head[1])
    weights = (asked @ flat.mT * attn.head_dim**-0.5).softmax(-1)
    values = times(weights @ flat, by_head[2].mT).unflatten(1, (heads, n_leading))
    mixed = values.transpose(1, 2).reshape(*leading.shape[:-1], width)
    bias = overrides.get(f"{name}.qkv.bias", attn.qkv.bias)
    return mixed if bias is None else mixed + per_edit(bias[..., 2 * width :], mixed)


FAMILY = PlainViT()
