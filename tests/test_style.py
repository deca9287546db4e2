"""The names and sentences of the project's code: nouns for values, verbs first, no question in front of an answer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("benchmark", "mad", "generation", "editors", "leaderboard")

QUESTION_WORDS = {"What", "How", "Where", "Which", "Who", "Whose", "Whether"}
# Words that fit any value and so name none; the field has a noun for each (see "Words" in DESIGN.md).
EMPTY_NAMES = {"found", "told", "wanted", "one", "some", "way", "ways", "facts", "judged"}


def files_of(package: str) -> list[Path]:
    """A package's modules and its tests; files that stand right in tests/ count as `benchmark`'s."""
    tests = ROOT / "tests"
    others = [*tests.glob("*.py"), *(tests / "golden").rglob("*.py")] if package == "benchmark" else []
    return sorted([*(ROOT / package).rglob("*.py"), *(tests / package).rglob("*.py"), *others])


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each variable, field, parameter, function, class and import that a file binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((node.lineno, alias.asname or alias.name) for alias in node.names)


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and docstring of each documented module, class and function in a file."""
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


@pytest.mark.parametrize("package", PACKAGES)
def test_a_docstring_begins_with_the_result_or_a_verb(package: str) -> None:
    problems = [
        f"{path.relative_to(ROOT)}:{line} {text.splitlines()[0]}"
        for path in files_of(package)
        for line, text in docstrings(ast.parse(path.read_text(encoding="utf-8")))
        if text.split()[0].strip(",:;") in QUESTION_WORDS
    ]
    assert not problems, "\n".join(["docstrings that begin with a question word:", *problems])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_says_what_its_value_is(package: str) -> None:
    problems = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in files_of(package)
        for line, name in bound_names(ast.parse(path.read_text(encoding="utf-8")))
        if name.lstrip("_") in EMPTY_NAMES
    ]
    assert not problems, "\n".join(["names that say nothing:", *problems])


def test_the_checks_see_what_they_forbid() -> None:
    tree = ast.parse(
        'def some(one, *told):\n    """Whether so."""\n    found: int = 1\n    return [way for way in one]'
    )
    assert {name for _, name in bound_names(tree)} == {"some", "one", "told", "found", "way"}
    assert list(docstrings(tree)) == [(1, "Whether so.")]
