"""Weights of base models, from timm's repositories on the Hub and from where JAX's are kept."""

from __future__ import annotations

from benchmark.fetching.download import Download
from benchmark.fetching.repository import Repository
from benchmark.fetching.source import Source
from benchmark.models.names import PROBES, TIMM_NAMES

APACHE = "Apache-2.0"
TERMS = "Apache License 2.0: keep its notice where you pass the weights on."


def timm_source(alias: str, size: str = "not known", otherwise: str = "") -> Source:
    """The base model of this alias, or its backbone, in timm's repository, in timm's own layout.

    `otherwise` is another way to it, in words.
    """
    name = {**TIMM_NAMES, **PROBES}[alias]
    repository = Repository(f"timm/{name}", ("config.json", "model.safetensors"), is_model=True, otherwise=otherwise)
    return Source(
        name=alias,
        content=f"{'backbone of ' + alias if alias in PROBES else 'base model'}, {name}",
        command="--base of all commands",
        origin=repository,
        value=f"{alias}={{path}}/model.safetensors",
        size=size,
        licence=f"{APACHE}, {repository.address}",
        terms=TERMS,
        by_name_only=alias in PROBES,
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
