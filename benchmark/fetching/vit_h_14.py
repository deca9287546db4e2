"""The CLIP model of OpenCLIP that filters generated images (SPEC, 6)."""

from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source

LAION = Repository("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", ("open_clip_model.safetensors",), is_model=True)
SOURCE = Source(
    name="vit-h-14",
    content="OpenCLIP ViT-H-14, laion2b_s32b_b79k",
    command="generation.clip_filter --pretrained",
    origin=LAION,
    value="{path}/open_clip_model.safetensors",
    licence=f"MIT, {LAION.address}",
    terms="MIT licence: keep its notice where you pass the weights on.",
)
