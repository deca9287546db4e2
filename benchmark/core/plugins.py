"""The modules of a room that extends itself: a new file there is found, and no list names it."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def import_room(room: str, entry: str = "") -> list[ModuleType]:
    """Import the files of the room with this full name, in alphabetical order; of each folder in it, its file `entry`.

    Without `entry`, folders are left out. A room below may find one above in this way, which it may not import:
    `pkgutil` looks for files, as plugins are found in many projects, and the caller knows no module's name.
    """
    folder = importlib.import_module(room).__path__
    names = [
        f"{room}.{module.name}.{entry}" if module.ispkg else f"{room}.{module.name}"
        for module in pkgutil.iter_modules(folder)
        if entry or not module.ispkg
    ]
    return [importlib.import_module(name) for name in sorted(names)]
