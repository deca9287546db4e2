"""The ends of commands, and atomic writing."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import tyro
import yaml

from benchmark.core import cli
from benchmark.core.errors import LONGEST, UserError, message_line, unknown
from benchmark.core.files import replacing, sha256, write_text

ROOT = Path(__file__).parents[3]


def raises(error: BaseException):
    def command(count: int = 1) -> None:
        """Do nothing.

        Args:
            count: how often.
        """
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("no such\nthing"), 2, "error: no such thing\n"),
        (FileNotFoundError(2, "No such file or directory", "a/b"), 2, "error: a/b: No such file or directory\n"),
        (OSError(28, "No space left on device", "out/x"), 2, "error: out/x: No space left on device\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line(error, code, line, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(raises(error), [])
    assert stop.value.code == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("error", [UserError("x"), ZeroDivisionError("x")])
def test_debug_shows_the_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        cli.run(raises(error), ["--debug"])


def test_an_error_that_nobody_foresaw_is_one_line_and_a_file(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VIT_EDIT_BENCH_CACHE", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        cli.run(raises(ZeroDivisionError("by\nzero")), ["--count", "7"], "python -m some.command")
    (log,) = tmp_path.rglob("*.log")
    error = capsys.readouterr().err
    assert stop.value.code == 1
    assert error.startswith("error: ZeroDivisionError: by zero; ") and error.count("\n") == 1 and str(log) in error
    text = log.read_text(encoding="utf-8")
    assert text.startswith("python -m some.command --count 7\n") and "Traceback (most recent call last)" in text


def test_the_traceback_lies_elsewhere_where_the_cache_cannot_be_written(capsys, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIT_EDIT_BENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit):
        cli.run(raises(KeyError("x")), [])
    (log,) = tmp_path.glob("vit-edit-bench-*.log")
    assert str(log) in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_one_line(error, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(raises(error), [])
    assert stop.value.code == 2 and "--batch-size" in capsys.readouterr().err


def test_help_and_wrong_options(capsys) -> None:
    for words, code, said in (
        (["--help"], 0, "how often"),
        (["--cuont", "3"], 2, "--cuont"),
        (["--count", "x"], 2, "x"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.run(raises(UserError("not reached")), words)
        printed = capsys.readouterr()
        assert stop.value.code == code and said in printed.out + printed.err


def test_nearest_names() -> None:
    assert 'did you mean "ft-l2"' in str(unknown("editor", "FT-L3", ["ft-l2", "rome"]))
    assert str(unknown("editor", "mned", ["mend", "rome"])) == 'no editor is called "mned"; did you mean "mend"?'
    assert str(unknown("editor", "qqq", ["rome", "mend"])) == 'no editor is called "qqq"; known: mend, rome'


def test_an_error_of_another_library_is_one_line() -> None:
    assert message_line(ValueError("\n  a thing:\n\tand why")) == "a thing: and why"
    assert message_line(ValueError("")) == "ValueError"
    long = message_line(ValueError("what failed" + "x" * 999 + "and why"))
    assert long.startswith("what failed") and long.endswith("and why") and len(long) == LONGEST + len(" ... ")


def test_another_librarys_reason_stays_in_the_line() -> None:
    """Names what does not fit, what was got and what was wanted, though it stands behind the first line."""
    try:
        torch.nn.Linear(2, 3).load_state_dict({"weight": torch.zeros(4, 2)})
    except RuntimeError as error:
        line = message_line(error)
    for words in ('Missing key(s) in state_dict: "bias"', "size mismatch for weight", "[4, 2]", "[3, 2]"):
        assert words in line
    with pytest.raises(yaml.YAMLError) as broken:
        yaml.safe_load("a: [1, 2")
    assert "expected ',' or ']'" in message_line(broken.value) and "\n" not in message_line(broken.value)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "record.json"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]
    assert sha256(path) == "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4"


def test_subcommands_by_name(capsys) -> None:
    counts = []

    def first(count: int = 1) -> None:
        """The first."""
        counts.append(count)

    commands = {"first": first, "other": raises(UserError("no"))}
    cli.run(commands, ["first", "--count", "3"], about="Two commands.")
    assert counts == [3]
    with pytest.raises(SystemExit) as stop:
        cli.run(commands, ["other"], about="Two commands.")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: no\n"
    with pytest.raises(SystemExit) as stop:
        cli.run(commands, ["--help"], about="Two commands.")
    assert stop.value.code == 0
    assert "Two commands." in capsys.readouterr().out


def test_a_command_beside_its_subcommands(capsys) -> None:
    called = []

    def go(folder: tyro.conf.Positional[str]) -> None:
        """Go there."""
        called.append(("go", folder))

    def status(count: int = 1) -> None:
        """Say how far."""
        called.append(("status", count))

    commands = {"": go, "status": status}
    cli.run(commands, ["out"])
    cli.run(commands, ["status", "--count", "2"])
    assert called == [("go", "out"), ("status", 2)]
    for words, expected in (
        (["--help"], "each with its own --help: status"),
        (["status", "--help"], "usage: p status"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.run(commands, words, prog="p")
        assert stop.value.code == 0
        assert expected in capsys.readouterr().out


def test_a_program_that_imports_us_reads_our_warnings(capsys) -> None:
    logging.getLogger("editors.x").warning("odd")
    logging.getLogger("editors.x").info("unseen")
    logging.getLogger("a_library").warning("not ours")
    assert capsys.readouterr().err == "note: odd\n"


def test_what_our_modules_log_is_a_note(capsys) -> None:
    def command() -> None:
        """Log."""
        logging.getLogger("mad.mining.x").info("%d images", 3)
        logging.getLogger("benchmark.y").warning("odd")
        logging.getLogger("benchmark.y").debug("unseen")
        logging.getLogger("a_library").info("unseen")
        print("result")

    for _ in range(2):
        cli.run(command, [])
    printed = capsys.readouterr()
    assert printed.err == "note: 3 images\nnote: odd\n" * 2 and printed.out == "result\n" * 2
    logging.getLogger("mad.mining.x").info("no command runs")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_sign_that_a_terminal_lacks_does_not_cost_the_result(encoding: str) -> None:
    """Consoles in other code pages have no dash between words and no ellipsis, no frames and no full blocks."""
    script = (
        "from tqdm.auto import tqdm\nfrom benchmark.core.cli import run\n"
        "from benchmark.core.terminal import show_table\n"
        "def main() -> None:\n"
        "  print('GR \u2013 7\u2026 \u6587')\n"
        "  show_table(['\u6587'], [['\u00e9 \u2192']])\n"
        "  list(tqdm(range(3), desc='\u6587 \u2026'))\n"
        "run(main, [])"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    first, head, row = done.stdout.decode(encoding).splitlines()
    assert first == "GR ? 7? ?" and "?" in head and row.endswith("?") and b"3/3" in done.stderr
