"""ImageNet-1k's label space: class index <-> WordNet 3.0 synset <-> name.

The tables are timm's, so that labels mean what the models' heads mean by them. They are read as files: importing timm
takes seconds and most of a gigabyte, which commands that only speak of classes need not pay.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

CLASSES = 1000


@lru_cache(maxsize=1)
def synsets() -> tuple[str, ...]:
    """The 1,000 synset ids by class index, e.g. ``synsets()[890] == "n04540053"`` (volleyball)."""
    return tuple(_table("imagenet_synsets.txt").split())


@lru_cache(maxsize=1)
def full_names() -> tuple[str, ...]:
    """All lemmas by class index, e.g. ``full_names()[0] == "tench, Tinca tinca"``."""
    lemmas = dict(line.split("\t", 1) for line in _table("imagenet_synset_to_lemma.txt").splitlines())
    return tuple(lemmas[synset] for synset in synsets())


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """A short name by class index: the first lemma of its synset. "crane" and "maillot" stand twice."""
    return tuple(name.split(",")[0].strip() for name in full_names())


@lru_cache(maxsize=1)
def index_of() -> dict[str, int]:
    """Class index by synset id."""
    return {synset: index for index, synset in enumerate(synsets())}


def _table(name: str) -> str:
    spec = importlib.util.find_spec("timm")
    assert spec is not None and spec.origin is not None  # a dependency
    return (Path(spec.origin).parent / "data" / "_info" / name).read_text(encoding="utf-8")
