"""The commands as a person types them: the table, and one line with the fix when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core import cli
from benchmark.core.errors import UserError
from leaderboard import submit, tables
from leaderboard.records import record

QUICK = ["--limit", "3", "--base", "mini"]


def refused(capsys: pytest.CaptureFixture[str], command, *words: str) -> str:
    """Standard error of a command that must fail with exit code 2 and one line."""
    with pytest.raises(SystemExit) as stop:
        cli.run(command, words)
    assert stop.value.code == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert printed[-1].startswith("error: ") and "Traceback" not in "\n".join(printed)
    return printed[-1]


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    cli.run(submit.main, ["null-edit", "ft-l2", "--sweep", "0", "0.1", *QUICK, "--out", str(out)])
    return out


def folder_of(out: Path, editor: str) -> Path:
    (folder,) = out.glob(f"{editor}-*")
    return folder


def test_submit_writes_records_and_outcomes(submitted: Path) -> None:
    names = sorted(path.name for path in submitted.iterdir())
    assert [name.rpartition("-")[0] for name in names] == ["ft-l2-c=0.0", "ft-l2-c=0.1", "null-edit"]
    for folder in submitted.iterdir():
        files = {path.name for path in folder.iterdir()}
        assert files == {"run.json", "samples.parquet", "outcomes.parquet", "record.json"}
    null = record.read(folder_of(submitted, "null-edit") / "record.json")
    assert null.scores["sr"].value == 0
    assert null.scores["lr"].value == 1  # the mini's D_l holds only images that `mini` gets right
    assert null.outcomes.edits == 3


def test_a_second_call_takes_what_is_there(submitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in submitted.rglob("*.parquet")}
    assert before
    cli.run(submit.main, ["null-edit", *QUICK, "--out", str(submitted)])
    assert before.items() >= {p: p.stat().st_mtime_ns for p in submitted.rglob("null-edit-*/*.parquet")}.items()
    printed = capsys.readouterr()
    assert "SR" in printed.out and f"{submitted}: 1 is done" in printed.err


def test_tables_come_from_records_alone(submitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(tables.main, [str(submitted), "--intervals"])
    printed = capsys.readouterr().out
    assert printed.count("| ft-l2:c=") == 2
    assert "GR pairs" in printed and "GR released" in printed and "LR agreement" in printed
    null = next(line for line in printed.splitlines() if line.startswith("| null-edit"))
    assert "| 0.0 [–] |" in null and "100.0 [–]" in null


def test_a_typed_in_score_or_key_is_refused(submitted: Path, tmp_path: Path, capsys) -> None:
    fields = json.loads((folder_of(submitted, "null-edit") / "record.json").read_text())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "record.json").write_text(json.dumps({**fields, "remark": "state of the art"}))
    assert "no record of this version" in refused(capsys, tables.main, str(tmp_path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ftt"], 'did you mean "ft"'),
        ([], "which editor"),
        (["ft", "--base", "vitb-16"], 'did you mean "vitb16"'),
        (["ft", "--data", "mimi"], 'did you mean "mini"'),
        (["ft", "--limit", "0"], "--limit must be 1 or more"),
        (["ft", "--device", "cuda"], "no CUDA device"),
        (["ft", "--groups", "red fox-tigger"], 'did you mean "red fox-tiger"'),
        (["ft", "--base", "mini=weights.pth"], "no such weights file"),
    ],
)
def test_bad_input_is_one_line_with_the_fix(words: list[str], message: str, tmp_path: Path, capsys) -> None:
    assert message in refused(capsys, submit.main, *words, "--out", str(tmp_path / "out"))
    assert not list(tmp_path.rglob("record.json"))


def test_a_sweep_without_a_knob_is_said_before_anything_is_computed(tmp_path: Path, capsys, monkeypatch) -> None:
    def stop(data: str) -> None:
        raise UserError("nothing was loaded yet")

    monkeypatch.setattr(submit.dataset, "load", stop)
    with pytest.raises(SystemExit):
        cli.run(submit.main, ["null-edit", "ft-l2", "--sweep", "--out", str(tmp_path)])
    notes = capsys.readouterr().err.strip().splitlines()
    assert notes == [
        "note: null-edit has no knob, so --sweep scores it once, as it is",
        "error: nothing was loaded yet",
    ]


def test_missing_weights_say_which_file_to_put_where(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refused(capsys, submit.main, "ft", "--base", "vits16", "--out", str(tmp_path))
    assert "vits16=FILE" in message and "mini" in message and "no download" in message


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        cli.run(submit.main, ["ftt", "--debug", "--out", str(tmp_path)])


def test_no_records_is_said(tmp_path: Path, capsys) -> None:
    assert "leaderboard.submit makes one" in refused(capsys, tables.main, str(tmp_path))
