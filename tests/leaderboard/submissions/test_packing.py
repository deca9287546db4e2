"""The contents of a submission: the runs of one editor, whole, with all of its source."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.core import cli
from benchmark.core.code import hash_sources
from benchmark.core.files import sha256
from leaderboard import submit, verify
from leaderboard.records import record
from leaderboard.submissions import packing
from leaderboard.submissions.card import read_card
from leaderboard.submissions.packing import local_sources
from leaderboard.submissions.verification import level_of
from tests.leaderboard.submissions.conftest import ON_NOISE, fill_card
from tests.leaderboard.test_commands import refused

HAND_IN = [*ON_NOISE, "--out", "out", "--as", "handed"]


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_handed_in_as_it_is(submission: Path, workplace: Path) -> None:
    (run,) = (workplace / "out").glob("mine.py-Mine-*")
    of_run = {"record.json", "run.json", "outcomes.parquet", "samples.parquet"}
    source = {"source/mine.py", "source/steps.py", "source/known.py"}
    assert files_of(submission) == {*of_run, *source, "submission.yaml", "SHA256SUMS"}
    assert all(sha256(submission / name) == sha256(run / name) for name in of_run)
    assert all(sha256(submission / name) == sha256(workplace / Path(name).name) for name in source)


def test_a_sweep_is_one_submission(submission: Path, again: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["ft-l2:lr=0.01,max_steps=2", "--sweep", "0", "0.1", "--limit", "2"]
    cli.run(submit.main, [*sweep, *HAND_IN])
    runs = sorted(path.parent for path in Path("handed").rglob("record.json"))
    assert len(runs) == 2 and not Path("handed", "source").exists()
    assert read_card(Path("handed")).trained_on == "nothing", "of an editor of this project, nothing is to be filled in"
    fill_card(Path("handed"))
    cli.run(verify.main, ["handed", *again, "1"])
    assert {level_of(run, record.read(run / "record.json")) for run in runs} == {"re-run"}
    assert "--limit 2" in capsys.readouterr().out, "the reason why it is off the main table"
    card = Path("handed", "submission.yaml").read_text()
    cli.run(submit.main, [*sweep[:3], *sweep[4:], *HAND_IN])
    assert Path("handed", "submission.yaml").read_text() == card, "what was written stays"
    assert not list(Path("handed").rglob("verification.json")), "and no verification of another record"
    line = refused(capsys, submit.main, "ft:max_steps=1", "null-edit", "--limit", "2", *HAND_IN)
    assert "a submission is of one editor, and these are ft and null-edit" in line
    assert Path("handed", "submission.yaml").read_text() == card, "nothing half written"


def test_a_model_that_stays_with_the_editor_is_said_to(
    submission_of: Callable[..., Path], submission: Path, again: list[str]
) -> None:
    wraps = shutil.copytree(submission_of("mine.py:Wraps", "--limit", "3"), Path("wraps"))
    cli.run(verify.main, [str(wraps), *again, "1"])
    assert level_of(wraps, record.read(wraps / "record.json")) == "re-run, judged by the editor"


@pytest.mark.parametrize("name", ["a<script>.py", "a&b.py", "a\u202eb.py"])
def test_a_name_that_no_page_may_have_is_refused(
    name: str, submission: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(submission / "source" / "steps.py", "steps.py")
    shutil.copy(submission / "source" / "known.py", "known.py")
    shutil.copy(submission / "source" / "mine.py", name)
    line = refused(capsys, submit.main, f"{name}:Mine", "--limit", "1", *HAND_IN)
    assert "rename that file" in line and not Path("handed").exists()


def test_a_file_that_changed_since_its_run_is_not_handed_in(
    submission: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = submission / "source"
    (run,) = (path.parent for path in submission.glob("record.json"))
    (source / "mine.py").write_text((source / "mine.py").read_text() + "\nprint()\n")
    packing.pack([run], [source / "mine.py"], Path("handed"))
    fill_card(Path("handed"))
    assert "mine is not the source that was run" in refused(capsys, verify.main, "handed", *ON_NOISE)


def test_a_package_keeps_its_folders(tmp_path: Path) -> None:
    """Also a file called as no module can be, which only an entry is."""
    files = {
        "method/__init__.py": "",
        "method/my.editor.py": "from method.parts import layer\nfrom . import shared\nimport editors, json, numpy",
        "method/parts/__init__.py": "from .layer import x",
        "method/parts/layer.py": "x = 1",
        "method/shared.py": "",
        "method/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    entry = tmp_path / "method" / "my.editor.py"
    sources = local_sources([entry])
    assert sources == {name: tmp_path / name for name in files if "unused" not in name}
    for name, path in sources.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "copy" / name)
    assert hash_sources([tmp_path / "copy" / "method" / "my.editor.py"]) == hash_sources([entry])
