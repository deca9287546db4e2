"""One option name means one thing in every command, as the table in DESIGN.md has it."""

from __future__ import annotations

import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import tyro

from benchmark.core.commands import PACKAGES, commands
from benchmark.subsets.subset import subsets

ROOT = Path(__file__).parent.parent
HEADER = "| option | meaning | default | commands |\n|---|---|---|---|\n"
OF_SUBSETS = {f"--{name.replace('_', '-')}" for name in subsets()}
SUBSET_INPUT = "Input of a subset; its file in benchmark/subsets has the sentence that --help shows."
SUFFIX = re.compile(r"\s*\((?:default: (?P<default>.*)|(?P<state>required|repeatable))\)$")


@dataclass(frozen=True)
class Option:
    """An option of a command as its ``--help`` has it: `kind` is what a value looks like, or the values it may have."""

    command: str
    name: str
    kind: str
    meaning: str
    default: str


def walk() -> Iterator[Option]:
    """All options and positional arguments of all commands; a command module's `main` is what it runs."""
    for module_name in (name for package in PACKAGES for name in commands(package)):
        file = importlib.util.find_spec(module_name)
        module = importlib.import_module(f"{module_name}.__main__" if file.submodule_search_locations else module_name)
        subcommands = module.main if isinstance(module.main, Mapping) else {"": module.main}
        for subcommand, function in subcommands.items():
            for action in tyro.extras.get_parser(function)._actions:
                if action.dest == "help":
                    continue
                text = re.sub(r"\s+", " ", action.help or "").replace("%%", "%")
                suffix = SUFFIX.search(text)
                yield Option(
                    f"{module_name} {subcommand}".strip(),
                    action.option_strings[0] if action.option_strings else action.dest,
                    "flag" if action.nargs == 0 else str(action.metavar).removeprefix("{None}|"),
                    text[: suffix.start()] if suffix else text,
                    (suffix["default"] or suffix["state"] or "") if suffix else "",
                )


@pytest.fixture(scope="module")
def options() -> list[Option]:
    return list(walk())


def table(options: list[Option]) -> str:
    """The rows of DESIGN.md: one a name, in alphabetical order; a default that is no value is left out.

    The options that name the subsets' inputs are one row: a new subset is one file and its test.
    """
    by_name = defaultdict(list)
    for option in options:
        if option.command == "benchmark.build" and option.name in OF_SUBSETS:
            option = replace(option, name="--SUBSET", meaning=SUBSET_INPUT)
        if option.name.startswith("--"):
            by_name[option.name].append(option)
    rows = []
    for name, same in sorted(by_name.items(), key=lambda item: item[0].lower()):
        defaults = sorted({option.default for option in same} - {"", "None"})
        cells = (
            f"`{name}`",
            same[0].meaning,
            ", ".join(defaults),
            ", ".join(dict.fromkeys(option.command for option in same)),
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return HEADER + "".join(rows)


def test_the_table_in_design_is_what_help_shows(options: list[Option]) -> None:
    design = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
    assert table(options) in design, f"the table of options in DESIGN.md must be\n\n{table(options)}"


def test_a_name_has_one_meaning_and_one_type(options: list[Option]) -> None:
    same = defaultdict(set)
    for option in options:
        if option.name.startswith("--"):
            same[option.name].add((option.kind, option.meaning))
    assert {name: kinds for name, kinds in same.items() if len(kinds) > 1} == {}


def test_two_names_do_not_have_one_meaning(options: list[Option]) -> None:
    names = defaultdict(set)
    for option in options:
        names[option.meaning].add(option.name.removeprefix("--"))
    assert {meaning: several for meaning, several in names.items() if len(several) > 1} == {}


def test_each_help_is_a_sentence(options: list[Option]) -> None:
    wrong = [option for option in options if not re.fullmatch(r"[A-Z].*\.", option.meaning)]
    assert wrong == []


def test_where_there_is_a_default_it_is_shown(options: list[Option]) -> None:
    hidden = [o for o in options if o.default in ("", "None") and "default" in o.meaning]
    assert hidden == []


def test_no_default_lies_in_the_packages(options: list[Option]) -> None:
    inside = [
        (option.command, option.name, option.default)
        for option in options
        if str(ROOT) in option.default or option.default.startswith(tuple(f"{name}/" for name in PACKAGES))
    ]
    assert inside == []


def test_all_that_compute_do_so_on_the_same_devices(options: list[Option]) -> None:
    assert {option.kind for option in options if option.name == "--device"} == {"{auto,cpu,cuda,mps}"}
