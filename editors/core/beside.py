"""A stranger's file, imported with the modules beside it, from any working folder."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from benchmark.core.code import DIGITS, PACKAGES, import_roots, installed_folders, is_taken

_LAST: list[str] = []  # modules that the last file brought: those of another folder may have the same names


class Beside(MetaPathFinder):
    """Finds modules beside a file, before those of the working folder.

    A name of the standard library, of this project or of an installed package stays theirs, whoever imports it.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [str(root) for root in roots]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        spec = PathFinder.find_spec(fullname, self._roots) if path is None else None
        return None if spec is None or is_taken(fullname) else spec


def import_file(path: Path) -> types.ModuleType:
    """Import a file, with its relative names and those beside it. Raises whatever its code does."""
    *_, top = import_roots(path)
    room = types.ModuleType(f"third_party_{hashlib.sha256(str(top).encode()).hexdigest()[:DIGITS]}")
    room.__path__ = [str(top)]
    parts = path.resolve().relative_to(top).with_suffix("").parts
    name = ".".join([room.__name__, *(part.replace(".", "_") for part in parts)])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py path always has a loader
    for last in _LAST:
        sys.modules.pop(last, None)
    sys.meta_path[:] = [Beside(import_roots(path)), *(each for each in sys.meta_path if not isinstance(each, Beside))]
    module = importlib.util.module_from_spec(spec)
    sys.modules.update({room.__name__: room, name: module})  # dataclasses and inspect look a class's module up there
    before = set(sys.modules)
    try:
        spec.loader.exec_module(module)
    finally:
        _LAST[:] = [new for new in sys.modules.keys() - before if _is_of(sys.modules[new], top)]
    return module


def _is_of(module: types.ModuleType, top: Path) -> bool:
    """Return whether a module lies in a stranger's folder, and is not this project's or an installed one there."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] in PACKAGES:
        return False
    inside = Path(file).resolve().is_relative_to(top)
    return inside and not any(Path(file).resolve().is_relative_to(folder) for folder in installed_folders())
