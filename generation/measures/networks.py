"""Stable Diffusion with random weights, in its own size and tiny: a network's speed does not depend on its weights."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Shapes:
    """Configurations of the three networks, with the keys of diffusers and transformers."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: Mapping[str, Any]


# From unet/, vae/ and text_encoder/config.json of stabilityai/stable-diffusion-2 (768 px), keys at diffusers' and
# transformers' defaults left out. They give 865,910,724, 83,653,863 and 340,387,840 parameters.
SD2 = Shapes(
    unet={
        "sample_size": 96,
        "block_out_channels": (320, 640, 1280, 1280),
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
    vae={
        "sample_size": 768,
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
    },
    text={
        "vocab_size": 49408,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "max_position_embeddings": 77,
        "hidden_act": "gelu",
    },
)
TINY = Shapes(  # made up
    unet={
        "sample_size": 8,
        "block_out_channels": (32, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 16,
        "norm_num_groups": 8,
    },
    vae={
        "sample_size": 16,
        "block_out_channels": (16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 8,
    },
    text={
        "vocab_size": 82,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
    },
)
SIZES = {"sd2": SD2, "tiny": TINY}


def make_random_pipeline(shapes: Shapes, device: torch.device) -> Any:
    """A Stable Diffusion pipeline with random weights, float32, made on the device.

    The tokenizer's vocabulary is made up of single characters, since a prompt is padded to the same length anyway.
    The scheduler has the noise levels of scheduler/scheduler_config.json of stabilityai/stable-diffusion-2.
    """
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    characters = [*string.ascii_lowercase, *string.digits, *"<>-'"]
    vocabulary = [*characters, *(character + "</w>" for character in characters), "<|startoftext|>", "<|endoftext|>"]
    length = shapes.text["max_position_embeddings"]
    tokenizer = CLIPTokenizer({token: number for number, token in enumerate(vocabulary)}, [], model_max_length=length)
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    torch.manual_seed(0)
    with device:
        unet, vae = UNet2DConditionModel(**shapes.unet), AutoencoderKL(latent_channels=4, **shapes.vae)
        text_encoder = CLIPTextModel(CLIPTextConfig(**shapes.text, **special))
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
