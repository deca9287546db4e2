"""A part of ImageNet-1k's training images, as many as the trained editors and the statistics need."""

from benchmark.data.schema import IMAGENET
from benchmark.data.training import TRAINING_IMAGES
from benchmark.fetching.repository import Repository
from benchmark.fetching.row_groups import RowGroups
from benchmark.fetching.source import Source

META_TRAINING = 56_000  # images: 7,000 batches of 8 (SPEC, 4)
MOST = 8_000_000_000  # bytes; all training images have 150 GB
ILSVRC = "ILSVRC/imagenet-1k"
LICENCE = "ImageNet's terms of access, https://image-net.org/download.php"
TERMS = (
    "Research and education that are not commercial; no passing on. Its owners give the right to it: accept their "
    f"terms on https://huggingface.co/datasets/{ILSVRC} and run `hf auth login`, or give a copy with --from-folder."
)
SOURCE = Source(
    name="imagenet",
    content="training images of ImageNet-1k, a random part",
    command="editors.train --images",
    origin=RowGroups(
        Repository(ILSVRC, ("data/train-*.parquet",)), META_TRAINING + TRAINING_IMAGES, most=MOST, source=IMAGENET
    ),
    size="8 GB at most (all: 150 GB)",
    licence=LICENCE,
    terms=TERMS,
)
