"""ImageNet-Sketch on the Hub (SPEC, 6)."""

from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source

OWNERS = "https://github.com/HaohanWang/ImageNet-Sketch"
SOURCE = Source(
    name="imagenet-sketch",
    content="50,000 sketches of all classes",
    command="benchmark.locality --imagenet-sketch",
    origin=Repository("nateraw/imagenet-sketch", ("*.parquet",)),
    size=f"7.8 GB (the owners' archive), {OWNERS}",
    licence=f"MIT (the repository's), {OWNERS}",
    terms="The images were gathered from the web and are other people's: use them for research alone, and do not pass "
    "them on.",
)
