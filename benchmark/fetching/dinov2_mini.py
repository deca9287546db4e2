"""The backbone of `dinov2-mini` and its rival: DINOv2's ViT-S/14 in timm's repository."""

from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source
from benchmark.fetching.timm_weights import APACHE, TERMS

BACKBONE = "vit_small_patch14_dinov2.lvd142m"
ORIGIN = Repository(f"timm/{BACKBONE}", ("config.json", "model.safetensors"), is_model=True)
SOURCE = Source(
    name="dinov2-mini",
    content="backbone of dinov2-mini and dinov2-mini-strong, DINOv2's ViT-S/14",
    command="--base of all commands",
    origin=ORIGIN,
    value="dinov2-mini={path}/model.safetensors",
    size=f"88 MB, {ORIGIN.address}",
    licence=f"{APACHE}, {ORIGIN.address}",
    terms=TERMS,
    by_name_only=True,
    backbone=BACKBONE,
)
