"""Editors of installed packages, which name them as entry points; nothing of a package is imported to list them.

[project.entry-points."vit_edit_bench.editors"]
their-method = "their_package.editor:TheirEditor"
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from benchmark.core.errors import UserError, listed, message_line
from benchmark.core.files import sha256, walk
from benchmark.core.text import name_key, printable
from editors.core.base import Editor
from editors.core.mistakes import explained
from editors.core.third_party import check_editor

GROUP = "vit_edit_bench.editors"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)  # all that a spec and a folder's name can hold
PLACE = re.compile(r"(?P<module>[\w.]+)\s*:\s*(?P<names>[\w.]+)\s*(\[.*\])?")
UNHASHED = ("__pycache__", ".pyc", ".dist-info", ".egg-info", ".pth")  # of this machine, or said by name and version


@dataclass(frozen=True)
class InstalledEditor:
    """An editor that an installed package offers.

    name: by which it is chosen.
    place: of its class, ``module:Class``.
    package, version: as they are installed.
    listed_files: the package's own files, by the names that it has for them.
    problem: why it cannot be chosen, and how to mend that; empty where it can.
    """

    name: str
    place: str
    package: str
    version: str
    listed_files: Mapping[str, Path]
    problem: str = ""

    @property
    def origin(self) -> str:
        """The package and its version, as they are shown."""
        return printable(f"{self.package} {self.version}")

    @property
    def files(self) -> dict[str, Path]:
        """The files that make it, by name: the package's own; where they are not listed, all of the imported package.

        An editable install lists none of them.
        """
        top = self.place.partition(":")[0].partition(".")[0]
        own = {name: file for name, file in self.listed_files.items() if file.is_file()}
        if not any(name == f"{top}.py" or name.startswith(f"{top}/") for name in own):
            own |= _files_of_module(top)
        return dict(sorted(own.items()))

    @property
    def sources(self) -> list[Path]:
        """Those of its files that are Python's code."""
        return [file for name, file in self.files.items() if name.endswith(".py") and _is_code(file)]

    def hashes(self) -> dict[str, str]:
        """Hex SHA-256 of each of its files, as they are now."""
        return {name: sha256(file) for name, file in self.files.items()}

    def load(self) -> type[Editor]:
        """The class, imported and checked. Raises `UserError`, one line, for all that would break later."""
        if self.problem:
            raise UserError(self.problem)
        module, _, names = self.place.partition(":")
        try:
            value = functools.reduce(getattr, names.split("."), importlib.import_module(module))
        except (Exception, SystemExit) as error:
            raise UserError(f"{self.name}: {self.origin} cannot be imported: {explained(error)}") from error
        return check_editor(f"{self.name} ({self.place} of {self.origin})", names, value)


def installed_editors(built_in: Iterable[str]) -> dict[str, InstalledEditor]:
    """The editors that installed packages offer, by name, in alphabetical order; also those that cannot be chosen.

    `built_in` are the names that none of them may have.
    """
    offers, _ = _read_offers(tuple(sys.path))
    taken = {name_key(name) for name in built_in}
    origins: dict[str, list[str]] = defaultdict(list)
    for offer in offers:
        origins[name_key(offer.name)].append(offer.origin)
    editors: dict[str, InstalledEditor] = {}
    for offer in sorted(offers, key=lambda offer: offer.name):
        key, problem = name_key(offer.name), offer.problem
        if key in taken:
            problem = (
                f'{offer.origin} offers an editor called "{printable(offer.name)}", but that is one of this project'
            )
        elif len(origins[key]) > 1:
            names = listed(sorted(origins[key]), "and")
            problem = f'"{printable(offer.name)}" is offered by {names}, and only one editor can be called so'
        fix = "; uninstall it, or have it renamed there (entry points, vit_edit_bench.editors)" if problem else ""
        editors[offer.name] = replace(offer, problem=f"{problem}{fix}")
    return editors


def unreadable_packages() -> list[str]:
    """A line for each installed package whose entry points cannot be read, so that its editors are not known."""
    return _read_offers(tuple(sys.path))[1]


@functools.lru_cache(maxsize=8)
def _read_offers(search_path: tuple[str, ...]) -> tuple[list[InstalledEditor], list[str]]:
    """The offers of all packages on Python's search path, and a line for each package that cannot be read."""
    offers: list[InstalledEditor] = []
    unreadable: list[str] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            entries = distribution.entry_points.select(group=GROUP)
            package = _name(distribution) if entries else ""
            if entries and name_key(package) not in seen:  # of two on the path, Python imports the first
                offers += [_offer(entry, package, distribution) for entry in entries]
                seen.add(name_key(package))
        except Exception as error:  # whatever a damaged package makes of it
            unreadable.append(f"{_name(distribution)}: its entry points cannot be read ({message_line(error)})")
    return offers, unreadable


def _name(distribution: metadata.Distribution) -> str:
    try:
        return str(distribution.metadata["Name"])
    except Exception:  # a package without METADATA
        return "a package"


def _offer(entry: metadata.EntryPoint, package: str, distribution: metadata.Distribution) -> InstalledEditor:
    place, problem = PLACE.fullmatch(entry.value), ""
    if NAME.fullmatch(entry.name) is None or entry.name.endswith(".py"):
        problem = (
            f'{package} offers an editor called "{printable(entry.name)}"; '
            "a name is letters, digits, - _ and . and does not end in .py"
        )
    elif place is None:
        problem = f'{package}: the editor {entry.name} is at "{printable(entry.value)}", which must be module:Class'
    names = [] if distribution.files is None else distribution.files
    return InstalledEditor(
        entry.name,
        f"{place['module']}:{place['names']}" if place else printable(entry.value),
        package,
        str(distribution.version),
        {str(name): Path(str(name.locate())) for name in names if _is_hashed(str(name))},
        problem,
    )


def _files_of_module(name: str) -> dict[str, Path]:
    """The files of a module, or of all of a package, by name; nothing where Python does not find it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return {}
    if spec is None or spec.origin is None:
        return {}
    file = Path(spec.origin)
    if spec.submodule_search_locations is None:
        return {file.name: file}
    root = file.parent.parent
    files = [Path(entry.path) for entry in walk(file.parent)]
    return {name: file for file in files if _is_hashed(name := file.relative_to(root).as_posix())}


def _is_hashed(name: str) -> bool:
    """Return whether a file of a package says what its code does: no compiled copy, script or note."""
    parts = name.split("/")
    return parts[0] != ".." and not any(part.endswith(UNHASHED) for part in parts)


def _is_code(file: Path) -> bool:
    """Return whether a file can be parsed; a template that is named like a module cannot."""
    try:
        ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return False
    return True
