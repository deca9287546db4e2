"""A command line that means nothing is answered in one line that names the wrong word."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro
from typing_extensions import Doc

from benchmark.core import usage
from benchmark.core.cli import run


def command(
    places: Annotated[tuple[Path, Path], tyro.conf.Positional],
    size: int,
    batch_size: Annotated[int, Doc("Images a batch. More are faster.")] = 4,
    share: float | None = None,
    points: tuple[float, ...] = (),
    kind: Literal["cpu", "cuda"] = "cpu",
    names: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    quick: bool = False,
) -> None:
    """Do nothing."""
    print("reached")


WORDS = {
    "--siez 3": "no option is called --siez; did you mean --size?",
    "-size 3": "no option is called -size; did you mean --size?",
    "--size": "--size needs a value: INT",
    "--batch-size --quick": "--batch-size needs a value: Images a batch",
    "--batch_size x": '--batch_size must be a whole number, not "x"',
    "--size 3.5": '--size must be a whole number, not "3.5"',
    "--share much": '--share must be a number, not "much"',
    "--points 1 two": '--points must be a number, not "two"',
    "--kind gpu": '--kind must be cpu or cuda, not "gpu"; did you mean "cpu"?',
    "--kind=tpu": '--kind must be cpu or cuda, not "tpu"; did you mean "cpu"?',
    "a b --size 3 4": '"4" is one word too many: --size takes one value',
    "a b --size 3 --quick yes": '"yes" is one word too many: --quick takes no value',
    "a b": "--size is missing: INT",
    "--quick": "PATH PATH and --size are missing",
}


@pytest.mark.parametrize("words", WORDS)
def test_the_wrong_word_is_named(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(command, words.split(), "prog")
    printed = capsys.readouterr()
    assert printed.err.removesuffix(" (prog --help)\n").strip() == f"error: {WORDS[words]}" and not printed.out


def test_right_words_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    words = "a b --size -3 --share None --names x --names y --points 1 -.5 --batch_size 2"
    run(command, words.split(), "prog")
    assert capsys.readouterr() == ("reached\n", "")


def test_without_a_parser_the_box_has_the_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "parser_of", lambda command: None)
    monkeypatch.setattr("benchmark.core.cli.parser_of", lambda command: None)
    with pytest.raises(SystemExit, match="2"):
        run(command, ["a", "b", "--size", "3", "--kind", "gpu"], "prog")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: invalid choice 'gpu' for argument '--kind'") and line.endswith("(prog --help)")


@pytest.mark.parametrize("words, line", [
    ("", "name the subcommand first, one or two: prog one ..."),
    ("--size 3 one", "name the subcommand first, one or two: prog one ..."),
    ("twoo", 'no subcommand of prog is called "twoo"; did you mean "two"?'),
    ("qqq", 'no subcommand of prog is called "qqq"; known: one or two'),
    ("one --siez 3", "no option is called --siez; did you mean --size? (prog one --help)"),
])  # fmt: skip
def test_subcommands(words: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run({"one": command, "two": command}, words.split(), "prog")
    assert capsys.readouterr().err == f"error: {line}\n"


def test_a_subcommand_beside_a_command_is_known_by_its_like(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run({"": command, "status": command}, ["statsu"], "prog")
    assert 'no subcommand of prog is called "statsu"; did you mean "status"?' in capsys.readouterr().err
