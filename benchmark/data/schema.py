"""The one schema of the data set: every split of every configuration has these columns.

A value that does not apply to a row is null (`datasets` wants one schema for all splits of a configuration).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets

ROWS_A_GROUP = 100  # small row groups, so that one image can be read without its split

# Values of the column `source` in the full benchmark.
FLICKR = "Flickr"
STABLE_DIFFUSION = "Stable Diffusion"
PUG = "PUG: ImageNet"
IMAGENET, IMAGENET_R, IMAGENET_SKETCH = "ImageNet-1k", "ImageNet-R", "ImageNet-Sketch"
IMAGENET_ANY = "ImageNet-1k, ImageNet-R or ImageNet-Sketch"  # the released locality set does not say which


@lru_cache(maxsize=1)
def features() -> datasets.Features:
    """The columns and their types; ``label`` is a ClassLabel over the synset ids in ImageNet's order."""
    import datasets

    from benchmark.labels.imagenet import synsets

    text, whole = datasets.Value("string"), datasets.Value("int64")
    return datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(synsets())),
            "class_name": text,
            "group": text,
            "group_id": text,
            "subset": text,
            "base_prediction": whole,
            "strong_prediction": whole,
            "margin": datasets.Value("float32"),
            "label_origin": text,
            "source": text,
            "source_id": text,
            "drawing": text,
            "licence": text,
            "attribution": text,
            "sha256": text,
        }
    )
