"""The textual-inversion tokens of ImageNet*, from which the oil paintings are made (SPEC, 6)."""

from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source

SOURCE = Source(
    name="oil-tokens",
    content="a textual-inversion token for each class",
    command="generation.oil_painting --tokens",
    origin=Repository("madrylab/imagenet-star-tokens", ("*.bin",)),
)
