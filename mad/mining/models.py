"""The models of a search: their names, the models themselves, and a folder for each two of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.core.devices import pick
from benchmark.core.errors import UserError, listed, unknown
from benchmark.models.load import BaseModel, load_base
from benchmark.models.names import split_specs

PAIR = "mini,mini-strong"
DRAFT = 2  # times the size that the models' preprocessing resizes to: still twice the detail that is kept


def parse_names(pair: str | None, models: str | None) -> list[str]:
    """The models' names from "BASE,STRONG" or "A,B,C", whichever option was given.

    Raises:
        UserError: for both, for a pair of other than two, and for fewer than two models.
    """
    if pair is not None and models is not None:
        raise UserError("--pair and --models exclude each other; --models A,B,C searches every pair of its models")
    names = split_specs(models or pair or PAIR)
    if models is not None and (len(names) < 2 or not all(names)):
        raise UserError(f'--models must be A,B,C, two models or more, the weakest first, not "{models}"')
    if models is None and (len(names) != 2 or not all(names)):
        raise UserError(f'--pair must be BASE,STRONG, two models, the one to be edited first, not "{pair}"')
    return names


def load_models(names: Sequence[str], weights: Iterable[str] = (), device: str = "cpu") -> list[BaseModel]:
    """The models by name, with the local weights that "NAME=FILE" gives.

    Raises:
        UserError: if two are the same model, and for what `load_base` refuses.
    """
    file_of_alias: dict[str, Path] = {}
    for option in weights:
        alias = next((name for name in names if option.startswith(f"{name}=")), option.partition("=")[0])
        file = option.removeprefix(alias).removeprefix("=")
        if not file:
            raise UserError(f'--weights must be NAME=FILE with one of the names {listed(names)}, not "{option}"')
        if alias not in names:
            raise unknown("model of this search", alias, names)
        file_of_alias[alias] = Path(file)
    torch_device = pick(device)
    models: list[BaseModel] = []
    for name in names:
        model = load_base(name, weights=file_of_alias.get(name), device=torch_device)
        for other in models:
            if other.identity == model.identity:
                raise UserError(f"{other.name} and {name} are the same model; name two different ones")
        models.append(model)
    return models


def name_folders(out: Path, models: Sequence[BaseModel]) -> dict[tuple[int, int], Path]:
    """From the positions of two models to their folder in `out`: `A-vs-B`, without what paths may not hold."""
    slugs: list[str] = []
    for model in models:
        slug = re.sub(r"[^\w.-]+", "-", shorten_name(model.name)).lstrip(".") or "model"
        slugs.append(slug if slug not in slugs else f"{slug}-{len(slugs) + 1}")
    return {(a, b): out / f"{slugs[a]}-vs-{slugs[b]}" for a, b in itertools.combinations(range(len(models)), 2)}


def shorten_name(name: str) -> str:
    """A model's name without the folders before it, where the name is a path."""
    return Path(name).name
