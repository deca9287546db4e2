"""Without tyro, the benches read the same command lines to the same values, and other commands say what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tyro

import editors.bench
import leaderboard.bench
import leaderboard.submit
from benchmark.core.cli import Command
from benchmark.core.errors import UserError
from benchmark.core.plain_options import MISSING, parse

ROOT = Path(__file__).parents[3]
ABSENT = (
    "tyro", "annotated_types", "pydantic", "datasets", "ray", "rich", "nltk", "open_clip", "diffusers", "transformers",
    "matplotlib", "jinja2", "flickrapi", "starlette", "uvicorn", "imagehash",
)  # fmt: skip
WITHOUT = f"""
import runpy, sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
for words in sys.argv[1:]:
    sys.argv = words.split()
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        assert not stop.code, words
"""
LINES: list[tuple[Command, str]] = [
    (leaderboard.bench.score, ""),
    (leaderboard.bench.score, "--base mini --device cpu --quick --limit 3 --masked --json out/x"),
    (leaderboard.bench.two_pass, "--limit 8 --base=vitb16"),
    (leaderboard.bench.everything, "--device cuda --json docs/speed"),
    (editors.bench.edit, "--no-quick --device mps"),
    (editors.bench.metatrain, "--precision tf32 --base a=b.pt"),
]


@pytest.mark.parametrize("command, words", LINES)
def test_the_same_words_mean_the_same(command: Command, words: str) -> None:
    taken: dict[str, object] = {}
    stand_in = _noting(command, taken)
    tyro.cli(stand_in, args=words.split())
    assert parse(command, words.split(), "prog", "") == taken


def _noting(command: Command, taken: dict[str, object]) -> Command:
    import functools
    import inspect

    @functools.wraps(command)
    def note(*arguments: object, **options: object) -> None:
        bound = inspect.signature(command).bind(*arguments, **options)
        bound.apply_defaults()
        taken.update(bound.arguments)

    return note


@pytest.mark.parametrize(
    "words, message",
    [
        ("--bass mini", r"unknown: --bass mini \(prog --help\)"),
        ("--limit two", "argument --limit: invalid int value: 'two'"),
        ("--device tpu", "argument --device: invalid choice: 'tpu'"),
        ("--lim 3", "unknown: --lim 3"),
    ],
)
def test_a_wrong_word_is_one_line(words: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(leaderboard.bench.score, words.split(), "prog", "")


def test_a_command_whose_options_are_not_plain_says_what_to_install() -> None:
    with pytest.raises(UserError, match=MISSING):
        parse(leaderboard.submit.main, ["ft"], "prog", "")


def test_the_benches_run_where_only_what_computes_is_installed(tmp_path: Path) -> None:
    lines = [
        "leaderboard.bench --help",
        f"leaderboard.bench --base mini --limit 20 --quick --json {tmp_path}",
        f"leaderboard.bench two-pass --base mini --limit 8 --json {tmp_path}",
        f"editors.bench --base mini --quick --json {tmp_path}",
        f"editors.bench metatrain --base mini --quick --json {tmp_path}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *lines], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    names = sorted(path.stem for path in tmp_path.glob("*.json"))
    assert names == ["edit-mini-cpu", "metatrain-mini-cpu", "score-mini-cpu", "two-pass-mini-cpu"]
