"""ImageNet-1k's validation images, of which a locality set is chosen for another base."""

from benchmark.fetching.imagenet import ILSVRC, LICENCE, TERMS
from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source

SOURCE = Source(
    name="imagenet-val",
    content="validation images of ImageNet-1k",
    command="benchmark.locality --imagenet",
    origin=Repository(ILSVRC, ("data/validation-*.parquet",)),
    licence=LICENCE,
    terms=TERMS,
    by_name_only=True,
)
