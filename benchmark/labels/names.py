"""Folders named after classes: by ImageNet index, by synset id or by name.

Every tool that takes a folder of images by class (building, locality selection, training images) reads the
folders' names in this one way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from benchmark.core.errors import UserError, unknown
from benchmark.core.text import name_key
from benchmark.labels.imagenet import CLASSES, full_names, index_of, names


def class_index(name: str) -> int | None:
    """The ImageNet-1k class that `name` means, or None if it means none.

    A name is an index ("890"), a synset id ("n04540053"), a class's first name, its full name with all
    synonyms ("hen-of-the-woods, hen of the woods, ..."), or a single synonym. Case, spaces, hyphens and
    underscores don't matter; the source of the names is timm's ``ImageNetInfo`` (SPEC, 8).

    Raises:
        UserError: for a name that more than one class has ("crane", "maillot"), which lists them.
    """
    word = name.strip()
    if word.isascii() and word.isdigit():
        return numbered_class(word)
    if re.fullmatch(r"n\d{8}", word):
        return index_of().get(word)
    indices = classes_called(word)
    if len(indices) > 1:
        raise UserError(f'"{name}" is the name of the classes {" and ".join(map(str, indices))}; use the index instead')
    return indices[0] if indices else None


def classes_called(word: str) -> tuple[int, ...]:
    """The classes with this first or full name; if there are none, those with this synonym."""
    heads, synonyms = _by_name()
    return heads.get(_plain(word)) or synonyms.get(_plain(word), ())


def numbered_class(digits: str) -> int | None:
    """The class whose index these digits are, however many; None if it is none."""
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= len(str(CLASSES)) and int(significant) < CLASSES else None


def known_class(name: str, where: str) -> int:
    """The `class_index` of `name`, which must be a class; the error names the place, `where`, and the nearest class.

    Raises:
        UserError: for a name that is no class, or that of several.
    """
    try:
        index = class_index(name)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if index is None:
        hint = "(a folder is named by ImageNet index, synset id or class name)"
        nearest = unknown("ImageNet class", name, sorted(set(names())), hint)
        message = str(nearest) if "did you mean" in str(nearest) else f'no ImageNet class is called "{name}" {hint}'
        raise UserError(f"{where}: {message}")
    return index


def known_classes(names: Sequence[str], where: str, default: Sequence[int]) -> list[int]:
    """The ImageNet-1k classes that `names` mean, each once, in their order; `default` if there are no names.

    Raises:
        UserError: for a name that is no class, or that of several.
    """
    return list(dict.fromkeys(known_class(name, where) for name in names)) or list(default)


@lru_cache(maxsize=1)
def _by_name() -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Classes by first and full name, and by every synonym, as `_plain` writes them."""
    heads: dict[str, tuple[int, ...]] = {}
    synonyms: dict[str, tuple[int, ...]] = {}
    for index, full in enumerate(full_names()):
        lemmas = full.split(",")
        for table, keys in ((heads, {_plain(full), _plain(lemmas[0])}), (synonyms, set(map(_plain, lemmas)))):
            for key in keys:
                table[key] = (*table.get(key, ()), index)
    return heads, synonyms


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_\-]+", name_key(name))).strip()
