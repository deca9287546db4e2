"""Weights of base models, from timm's repositories on the Hub and from where JAX's are kept."""

from __future__ import annotations

from benchmark.fetching.download import Download
from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source
from benchmark.models.names import TIMM_NAMES

APACHE = "Apache-2.0"
TERMS = "Apache License 2.0: keep its notice where you pass the weights on."


def timm_source(alias: str, size: str = "not known") -> Source:
    """The base model of this alias in timm's repository, in timm's own layout."""
    repository = Repository(f"timm/{TIMM_NAMES[alias]}", ("config.json", "model.safetensors"), is_model=True)
    return Source(
        name=alias,
        content=f"base model, {TIMM_NAMES[alias]}",
        command="--base of all commands",
        origin=repository,
        value=f"{alias}={{path}}/model.safetensors",
        size=size,
        licence=f"{APACHE}, {repository.address}",
        terms=TERMS,
    )


def augreg_source(alias: str, file: str) -> Source:
    """The same weights as their authors' own file, in JAX's layout."""
    return Source(
        name=f"{alias}-npz",
        content=f"{alias} as its authors' file for JAX",
        command="--base of all commands",
        origin=Download(f"https://storage.googleapis.com/vit_models/augreg/{file}", file),
        value=f"{alias}={{path}}/{file}",
        licence=f"{APACHE}, https://github.com/google-research/vision_transformer",
        terms=TERMS,
        by_name_only=True,
    )
