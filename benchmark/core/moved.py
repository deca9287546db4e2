"""Modules that have moved: an old name is answered by the new one in one line.

`python -m OLD` ends with exit code 2; `import OLD` raises `ModuleNotFoundError` with the same line.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Moved(MetaPathFinder):
    """Answers for names that have moved: `modules` are imported no more, `commands` are run no more under that name.

    Both map an old module to what replaces it, in words. The packages above an old module (``editors.hypernetwork`` of
    ``editors.hypernetwork.train``) are answered for, too.
    """

    def __init__(self, modules: Mapping[str, str], commands: Mapping[str, str]) -> None:
        self.modules, self.commands = modules, commands

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Never a module; raises `ModuleNotFoundError` for one that has moved, and ends ``python -m`` for a command."""
        if sys.argv[0] == "-m":  # while Python looks for the module that it shall run
            module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
            if module in self.commands and f"{module}.".startswith(f"{fullname}."):
                print(f"error: {module} has moved: run {self.commands[module]}", file=sys.stderr)
                raise SystemExit(2)
        if fullname in self.modules:
            raise ModuleNotFoundError(f"{fullname} has moved: write {self.modules[fullname]}", name=fullname)
        return None


def tell_moved(modules: Mapping[str, str], commands: Mapping[str, str]) -> None:
    """Answer imports and runs of old names with what replaces them."""
    sys.meta_path.insert(0, Moved(modules, commands))
