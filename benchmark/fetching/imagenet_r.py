"""ImageNet-R on the Hub (SPEC, 6)."""

from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source

SOURCE = Source(
    name="imagenet-r",
    content="30,000 renditions of 200 classes",
    command="benchmark.locality --imagenet-r",
    origin=Repository("axiong/imagenet-r", ("*.parquet",)),
    terms="Its owners (https://github.com/hendrycks/imagenet-r) state no licence of the images, which are other "
    "people's: use them for research alone, and do not pass them on.",
)
