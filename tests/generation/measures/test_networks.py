"""The random networks are of the stated size."""

from __future__ import annotations

import torch

from generation.measures.networks import SD2, make_random_pipeline


def test_the_large_networks_have_as_many_parameters_as_stable_diffusion_2() -> None:
    """The sizes of its published weight files, 3.46, 0.335 and 1.36 GB in float32, to the parameter."""
    pipe = make_random_pipeline(SD2, torch.device("meta"))
    parts = {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840}
    assert {part: sum(p.numel() for p in getattr(pipe, part).parameters()) for part in parts} == parts
    assert pipe.unet.config.sample_size * pipe.vae_scale_factor == 768 == pipe.vae.config.sample_size
    assert len(pipe.tokenizer("a stingray", padding="max_length").input_ids) == 77, "the published length of a prompt"
