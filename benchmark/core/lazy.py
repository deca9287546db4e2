"""A package's public names, imported when they are first used: `--help` and the list of commands stay fast."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A package's ``__getattr__``; `names` maps each module to the public names that the package takes from it."""
    modules = {name: module for module, public_names in names.items() for name in public_names}

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package} has no attribute {name}")
        return getattr(importlib.import_module(modules[name]), name)

    return get
