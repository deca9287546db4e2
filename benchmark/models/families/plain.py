"""The plain pre-norm ViT, timm's VisionTransformer, which classifies from its [cls] token."""

from __future__ import annotations

import torch.nn.functional as F
from timm.layers import Mlp
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from benchmark.models.family import Family, Model, Taps
from benchmark.models.layers import Overrides, linear, norm, scale


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
        """See `Family.attention`; of the last block only the queries of the leading tokens are computed."""
        module, name = model.blocks[block], f"blocks.{block}"
        attn = module.attn
        normed = norm(module.norm1, f"{name}.norm1", tokens, overrides)
        if block == len(model.blocks) - 1:
            tokens = tokens[..., : self.leading, :]
            width, leading = attn.num_heads * attn.head_dim, normed[..., : self.leading, :]
            query = linear(attn.qkv, f"{name}.attn.qkv", leading, overrides, slice(0, width))
            key, value = linear(attn.qkv, f"{name}.attn.qkv", normed, overrides, slice(width, 3 * width)).chunk(2, -1)
        else:
            query, key, value = linear(attn.qkv, f"{name}.attn.qkv", normed, overrides).chunk(3, -1)
        query, key, value = (_heads(projected, attn.num_heads) for projected in (query, key, value))
        query = norm(attn.q_norm, f"{name}.attn.q_norm", query, overrides)
        key = norm(attn.k_norm, f"{name}.attn.k_norm", key, overrides)
        batch = query.shape[:-3]  # fused attention takes one batch axis
        mixed = F.scaled_dot_product_attention(query.flatten(0, -4), key.flatten(0, -4), value.flatten(0, -4))
        mixed = mixed.transpose(-3, -2).flatten(-2).unflatten(0, batch)
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


FAMILY = PlainViT()
