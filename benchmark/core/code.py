"""A hash of each source file that code imports: two runs with equal hashes ran the same code.

Hashes are of the parsed file. Comments, docstrings, line ends and positions change nothing; neither does the release
of Python, as far as the grammar allows.
"""

from __future__ import annotations

import ast
import hashlib
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from benchmark.core.files import sha256, walk

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("benchmark", "editors", "generation", "leaderboard", "mad")  # of this project; all lie in `ROOT`
DIGITS = 16  # of a hash: messages and run.json hold many of them
IGNORED_FIELDS = ("kind", "type_comment")  # of a syntax node: u"" is "", and type comments are comments


def hash_sources(entries: Iterable[Path], root: Path = ROOT) -> dict[str, str]:
    """Hashes of these files and of all that they import, directly or not, by module name.

    All imports in a file count, also those in functions, and so does the ``__init__.py`` of each package on the way.
    Followed are this project's packages below `root`, and modules beside an entry or elsewhere on ``sys.path``. The
    standard library and installed packages are not followed, also from a file that is itself installed: their versions
    identify them. An import whose name is made at run time is not seen.
    """
    return {name: hash_tree(tree) for name, _, tree in _sources(entries, root)}


def find_sources(entries: Iterable[Path], root: Path = ROOT) -> dict[str, Path]:
    """The files that `hash_sources` hashes, by module name."""
    return {name: path for name, path, _ in _sources(entries, root)}


def _sources(entries: Iterable[Path], root: Path) -> list[tuple[str, Path, ast.AST]]:
    root, local, installed = root.resolve(), _local_roots(), installed_folders()
    waiting = [
        (_module_name(path.resolve(), root), path.resolve(), [f for f in import_roots(path) if f not in installed])
        for path in entries
    ]
    waiting += [(*module, beside) for name, _, beside in waiting for module in _modules(name, [root, *beside[-1:]])]
    sources: dict[Path, tuple[str, Path, ast.AST]] = {}
    while waiting:
        name, path, beside = waiting.pop()
        if path in sources:
            continue
        tree = ast.parse(path.read_bytes())
        sources[path] = name, path, tree
        for imported in _imported_names(tree, name, path.name == "__init__.py"):
            ours = imported.partition(".")[0] in PACKAGES
            waiting += [(*module, beside) for module in _modules(imported, [root] if ours else [*beside, *local])]
    return sorted(sources.values(), key=lambda source: source[:2])


def import_roots(path: Path) -> list[Path]:
    """Folders where a file finds modules beside it: its own, and the one that holds the packages that it is part of."""
    folder = top = path.resolve().parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return list(dict.fromkeys([folder, top]))


def installed_folders() -> list[Path]:
    """Folders of the standard library and of installed packages."""
    names = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [Path(name).resolve() for name in (*names, *site.getsitepackages(), site.getusersitepackages())]


def is_taken(name: str) -> bool:
    """Return whether a module's name is this project's, the standard library's or an installed package's."""
    installed = [str(folder) for folder in installed_folders()]
    return name in PACKAGES or name in sys.stdlib_module_names or PathFinder.find_spec(name, installed) is not None


def hash_tree(tree: ast.AST) -> str:
    """The first `DIGITS` hex digits of a SHA-256 over a syntax tree, docstrings left out."""
    digest = hashlib.sha256()
    for token in _tokens(tree):
        digest.update(token.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:DIGITS]


def hash_named_files(value: Any) -> dict[str, str]:
    """Hex SHA-256 of each file that a config's values name, by the name; of a folder, each file in it."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return {name: digest for item in value for name, digest in hash_named_files(item).items()}
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        return {}
    path = Path(value)
    try:
        is_folder = isinstance(value, Path) and path.is_dir()
        files = sorted(Path(entry.path) for entry in walk(path)) if is_folder else [path]
        return {str(file): sha256(file) for file in files if file.is_file()}
    except OSError:  # a text too long for a path
        return {}


def _tokens(node: Any) -> Iterator[str]:
    """The tokens of a syntax tree: types, fields and constants, but no empty values, in which releases differ."""
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for field, value in ast.iter_fields(node):
            if value is not None and value != [] and field not in IGNORED_FIELDS:
                yield field
                yield from _constant(value) if isinstance(node, ast.Constant) else _tokens(value)
        yield "."
    elif isinstance(node, list):
        for item in node:
            if not _is_docstring(item):
                yield from _tokens(item)
    else:
        yield from _constant(node)


def _constant(value: Any) -> Iterator[str]:
    yield f"{type(value).__name__} {value!r}"


def _is_docstring(node: Any) -> bool:
    """Return whether a statement is a bare string: a docstring of a module, class, function or field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imported_names(tree: ast.AST, name: str, is_package: bool) -> Iterator[str]:
    """Full names of the modules that a file may import: of ``from a import b`` both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            parents = parts[: len(parts) - node.level + is_package]
            module = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}".removeprefix(".") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def _modules(name: str, roots: Iterable[Path]) -> list[tuple[str, Path]]:
    """Names and files of a module and the packages that hold it, in the first root that has any of them."""
    parts = name.split(".")
    for root in roots:
        modules = []
        for count in range(1, len(parts) + 1):
            folder = root.joinpath(*parts[:count])
            files = [file for file in (folder / "__init__.py", folder.parent / f"{folder.name}.py") if file.is_file()]
            modules += [(".".join(parts[:count]), files[0].resolve())] if files else []
        if modules:
            return modules
    return []


def _module_name(path: Path, root: Path) -> str:
    """The full name of a file of this project; of any other, from the folder that holds its packages."""
    parts = path.relative_to(root).with_suffix("").parts if path.is_relative_to(root) else ()
    if not parts or parts[0] not in PACKAGES:
        parts = path.relative_to(import_roots(path)[-1]).with_suffix("").parts
    return ".".join(part.replace(".", "_") for part in parts).removesuffix(".__init__")  # as `import_file` names it


def _local_roots() -> list[Path]:
    """Folders on ``sys.path`` that are neither the standard library's nor hold installed packages."""
    folders = dict.fromkeys(Path(entry).resolve() for entry in sys.path)
    installed = installed_folders()
    outside = [not any(folder.is_relative_to(path) for path in installed) for folder in folders]
    return [folder for folder, is_outside in zip(folders, outside, strict=True) if is_outside and folder.is_dir()]
