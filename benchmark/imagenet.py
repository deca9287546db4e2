"""ImageNet-1k's label space: class index <-> WordNet 3.0 synset <-> name.

The table is timm's, so that labels mean what the models' heads mean by them.
"""

from __future__ import annotations

from functools import lru_cache

CLASSES = 1000


@lru_cache(maxsize=1)
def synsets() -> tuple[str, ...]:
    """The 1,000 synset ids by class index, e.g. ``synsets()[890] == "n04540053"`` (volleyball)."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return tuple(info.index_to_label_name(index) for index in range(CLASSES))


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """A short name by class index: the first lemma of its synset. "crane" and "maillot" stand twice."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return tuple(info.index_to_description(index).split(",")[0].strip() for index in range(CLASSES))


@lru_cache(maxsize=1)
def index_of() -> dict[str, int]:
    """Class index by synset id."""
    return {synset: index for index, synset in enumerate(synsets())}
