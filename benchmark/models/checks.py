"""Checks of a base model, and of what is given to it, before any edit."""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.models.vit import Model


def check_supported(model: Model) -> None:
    """Raise `UserError` unless `model` is a plain pre-norm timm ViT that classifies from its [cls] token."""
    from timm.layers import Mlp
    from timm.layers.attention import Attention
    from timm.models.vision_transformer import Block, VisionTransformer

    problem = ""
    if type(model) is not VisionTransformer:
        problem = f"it is a {type(model).__name__}"
    elif model.cls_token is None or model.global_pool != "token" or model.attn_pool is not None:
        problem = f'it pools by "{model.global_pool}" and not from a class token'
    elif not isinstance(model.fc_norm, nn.Identity) or not isinstance(model.head, nn.Linear):
        problem = "its head is not one linear layer"
    else:
        for block in model.blocks:
            if type(block) is not Block:
                problem = f"its blocks are of type {type(block).__name__}"
            elif type(block.mlp) is not Mlp or type(block.attn) is not Attention:
                problem = f"its blocks hold {type(block.mlp).__name__} and {type(block.attn).__name__}"
            elif not isinstance(block.mlp.fc1, nn.Linear) or not isinstance(block.mlp.norm, nn.Identity):
                problem = "its FFNs are not two linear layers"
            elif getattr(block.attn, "gate", None) is not None:
                problem = "its attention is gated"
    if problem:
        raise UserError(
            f"this base model cannot be edited here: {problem}; editors take a timm VisionTransformer "
            "with a class token, such as vit_base_patch16_224"
        )


def check_inputs(model: Model, images: Tensor, labels: Tensor) -> None:
    """Raise `UserError` unless images (n, 3, H, W) have this base's size and labels (n,) are class indices of it."""
    height, width = model.patch_embed.img_size
    if tuple(images.shape[1:]) != (3, height, width):
        raise UserError(
            f"images of shape {tuple(images.shape[1:])} were given to a base model that takes (3, {height}, {width}); "
            "preprocess them with its own preprocessing (BaseModel.preprocessing)"
        )
    if ((labels < 0) | (labels >= model.num_classes)).any():
        raise UserError(f"labels {labels.tolist()} are not all class indices 0 to {model.num_classes - 1} of this base")
