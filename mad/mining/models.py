"""The models of a search: their names, the models themselves, and a folder for each two of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.core.devices import pick
from benchmark.core.errors import UserError, unknown
from benchmark.models.load import BaseModel, load_base

PAIR = "mini,mini-strong"
DRAFT = 2  # times the size that the models' preprocessing resizes to: still twice the detail that is kept


def names_of(pair: str | None, models: str | None) -> list[str]:
    """The models' names from "BASE,STRONG" or "A,B,C", whichever was given.

    Raises:
        UserError: for both, for a pair of other than two, and for fewer than two models.
    """
    if pair is not None and models is not None:
        raise UserError("--pair and --models exclude each other; --models A,B,C searches every pair of its models")
    names = [name.strip() for name in (models or pair or PAIR).split(",")]
    if models is not None and (len(names) < 2 or not all(names)):
        raise UserError(f'--models takes A,B,C, two models or more, the weakest first; got "{models}"')
    if models is None and (len(names) != 2 or not all(names)):
        raise UserError(f'--pair takes BASE,STRONG, two models, the one to be edited first; got "{pair}"')
    return names


def load_models(names: Sequence[str], weights: Iterable[str] = (), device: str = "cpu") -> list[BaseModel]:
    """The models by name, with the local weights that "ALIAS=FILE" gives.

    Raises:
        UserError: if two are the same model, and for what `load_base` refuses.
    """
    local: dict[str, Path] = {}
    for given in weights:
        alias, _, file = given.partition("=")
        if not file:
            raise UserError(f'--weights takes ALIAS=FILE; got "{given}"')
        if alias not in names:
            raise unknown("model of this search", alias, names)
        local[alias] = Path(file)
    where = pick(device)
    models: list[BaseModel] = []
    for name in names:
        model = load_base(name, weights=local.get(name), device=where)
        for other in models:
            if other.identity == model.identity:
                raise UserError(f"{other.name} and {name} are the same model; a competition takes two")
        models.append(model)
    return models


def folders(out: Path, models: Sequence[BaseModel]) -> dict[tuple[int, int], Path]:
    """A folder in `out` for each two of the models, by their positions: `A-vs-B`, free of what paths may not hold."""
    slugs: list[str] = []
    for model in models:
        slug = re.sub(r"[^\w.-]+", "-", short_name(model.name)).lstrip(".") or "model"
        slugs.append(slug if slug not in slugs else f"{slug}-{len(slugs) + 1}")
    return {(a, b): out / f"{slugs[a]}-vs-{slugs[b]}" for a, b in itertools.combinations(range(len(models)), 2)}


def short_name(name: str) -> str:
    """A model's name without the folders before it, where it is one."""
    return Path(name).name
