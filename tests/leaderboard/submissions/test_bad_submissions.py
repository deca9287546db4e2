"""Folders that are no submission, or more than one may be: one line each, and nothing is opened that they point to."""

from __future__ import annotations

import json
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from leaderboard import verify
from leaderboard.judging.run_spec import digest
from leaderboard.submissions.card import Card, read_card, write_card
from leaderboard.submissions.layout import MOST
from tests.leaderboard.submissions.conftest import ON_NOISE, forge_record, sign
from tests.leaderboard.test_commands import refused

REQUIRED = [name for name, field in Card.model_fields.items() if field.is_required()]


def without(folder: Path, field: str) -> None:
    card = folder / "submission.yaml"
    lines = [line for line in card.read_text().splitlines() if not line.startswith(f"{field}:")]
    card.write_text("\n".join(lines))


@pytest.mark.parametrize("field", REQUIRED)
def test_a_card_has_all_its_fields(field: str, submission: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without(submission, field)
    line = refused(capsys, verify.main, str(submission))
    assert f"submission.yaml: {field} " in line and "docs/submitting.md" in line


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("schema_version", "2", "is of schema 2, and this release reads schema 1"),
        ("schema_version", "[1]", "is of schema"),
        ("method", '"<script>alert(1)</script>"', "method .*holds <, > or &"),
        ("method", '"a\\u202eb"', "method .*signs that nobody sees"),
        ("method", '""', "method .*at least 1"),
        ("authors", "[]", "authors .*at least 1"),
        ("authors", "Ann", "authors .*list"),
        ("authors", '["a\\u001b[31m"]', "authors.0 .*signs that nobody sees"),
        ("paper", "javascript:alert(1)", "paper .*is no address"),
        ("code", "my machine", "code .*is no address"),
        ("licence", '"' + "x" * 501 + '"', "licence .*at most 500"),
        ("weight", "none", "weight Extra inputs"),
    ],
)
def test_a_cards_value_is_checked(
    field: str, value: str, reason: str, submission: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without(submission, field)
    with (submission / "submission.yaml").open("a") as card:
        card.write(f"\n{field}: {value}\n")
    assert re.search(reason, refused(capsys, verify.main, str(submission)))


def test_a_new_card_says_what_each_field_means(tmp_path: Path) -> None:
    write_card(tmp_path, {"method": 'Über "ft": 2', "trained_on": "nothing"})
    text = (tmp_path / "submission.yaml").read_text()
    assert all(f"# {field.description}\n{name}: " in text for name, field in Card.model_fields.items())
    filled = text.replace("[]", "[no, 1.10]").replace('code: ""', "code: none").replace('paper: ""', "paper: none")
    (tmp_path / "submission.yaml").write_text(filled.replace('licence: ""', "licence: no"))
    card = read_card(tmp_path)
    assert (card.method, card.authors, card.licence) == ('Über "ft": 2', ["no", "1.10"], "no")


def link(folder: Path) -> None:
    (folder / "source" / "steps.py").unlink()
    (folder / "source" / "steps.py").symlink_to(folder / "source" / "mine.py")


def link_folder(folder: Path) -> None:
    (folder / "files").symlink_to("/")


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "source" / "more.txt", "w") as archive:
        archive.writestr("a", "b")
    sign(folder)


def tarred(folder: Path) -> None:
    with tarfile.open(folder / "data.bin", "w") as archive:
        archive.add(folder / "record.json")
    sign(folder)


def pickled(folder: Path) -> None:
    torch.save(torch.zeros(2), folder / "weights.bin")
    sign(folder)


def huge(folder: Path) -> None:
    with (folder / "weights.safetensors").open("wb") as file:
        file.truncate(2 << 30)


def many(folder: Path) -> None:
    for number in range(MOST):
        (folder / "source" / f"{number}.py").touch()


def unlisted(folder: Path) -> None:
    (folder / "source" / "extra.py").touch()


def missing(folder: Path) -> None:
    (folder / "run.json").unlink()


def change(*place: str, value: object) -> Callable[[Path], None]:
    """Set a value of the record."""

    def forge(folder: Path) -> None:
        def set_value(data: dict) -> None:
            for name in place[:-1]:
                data = data[name]
            data[place[-1]] = value

        forge_record(folder, set_value)

    return forge


def rename(name: str) -> Callable[[Path], None]:
    """Give the editor another name, in the record and in what its key was made of."""
    return rerun_with("editor", name=name, spec=name)


def rerun_with(section: str, **values: object) -> Callable[[Path], None]:
    """Give a section of the record other values, and the run the key that these make."""

    def forge(folder: Path) -> None:
        note = json.loads((folder / "run.json").read_text())
        note["facts"][section].update(values)
        (folder / "run.json").write_text(json.dumps(note))
        forge_record(folder, lambda data: data.update(key=digest(note["facts"])))
        forge_record(folder, lambda data: data[section].update(values))

    return forge


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (link, "source/steps.py is a link, and a submission has none"),
    "a link to a folder": (link_folder, "files is a link"),
    "a zip": (zipped, "source/more.txt is an archive"),
    "a tar": (tarred, "data.bin is an archive"),
    "a zip by torch": (pickled, "weights.bin is an archive, .*weights as .safetensors"),
    "two gigabytes": (huge, "weights.safetensors makes it 2,048 MiB large, and a submission has at most 16 MiB"),
    "many files": (many, f"more than {MOST} files"),
    "a pipe": (lambda folder: os.mkfifo(folder / "pipe"), "pipe is a pipe, socket or device"),
    "a file that is not listed": (unlisted, "source/extra.py is not listed in SHA256SUMS"),
    "a file that is missing": (missing, "run.json is listed in SHA256SUMS, and missing"),
    "no list": (lambda folder: (folder / "SHA256SUMS").unlink(), "no SHA256SUMS there"),
    "a list that leads out": (
        lambda folder: (folder / "SHA256SUMS").open("a").write(f"{'0' * 64}  ../noise/data\n"),
        "../noise/data is listed in SHA256SUMS, and missing",
    ),
    "a newer record": (change("schema_version", value=99), "record.json: is no record of this version: schema_version"),
    "another protocol": (change("protocol", "version", value="99"), "protocol 99 is not this release's"),
    "another scoring": (change("protocol", "scoring", value="99"), "scoring 99 is not this release's"),
    "no record of ours": (change("surprise", value=1), "record.json: is no record of this version: surprise"),
    "an editor called <script>": (rename("<script>alert(1)</script>.py:Mine"), "holds <, > or &"),
    "an editor called by signs": (rename("a\x1b[2J.py:Mine"), "signs that nobody sees"),
    "an editor that lies elsewhere": (rename("../../elsewhere.py:Mine"), "no elsewhere.py in source"),
    "no batch": (rerun_with("protocol", score_batch=0), "the record's score_batch is 0, and no run has that"),
    "a batch of gigabytes": (rerun_with("protocol", edit_batch=10**9), "edit_batch is 1000000000, and no run has"),
    "no seed": (rerun_with("protocol", seed=-1), "seed must be"),
    "samples of no group": (rerun_with("protocol", edited_groups=["nowhere"]), 'no group .* is called "nowhere"'),
    "no editor of ours": (rename("ft"), "ft is an editor of this project, and needs no source"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_submission_is_one_line(name: str, submission: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, message = BAD[name]
    spoil(submission)
    line = refused(capsys, verify.main, str(submission), *ON_NOISE)
    assert re.search(message, line) and "\x1b" not in line, line
    assert not (submission / "verification.json").exists()


def test_a_path_in_a_record_is_not_opened(submission: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, verify.main, str(submission), "--base", "base")
    assert "the record's benchmark is" in line and "name yours with --data" in line
    line = refused(capsys, verify.main, str(submission), "--data", "noise")
    assert "the record's base is base, a place elsewhere; name yours with --base" in line
    line = refused(capsys, verify.main, str(submission), "--base", "base", "--data", "mini")
    assert "mini has other images or labels than noise of the record" in line
    line = refused(capsys, verify.main, str(submission), "--base", "mini", "--data", "noise")
    assert "mini is not the base of the record" in line


@pytest.mark.parametrize("name", ["submission.yaml", "record.json"])
def test_a_folder_that_is_a_file_or_a_link_is_refused(name: str, submission: Path, capsys) -> None:
    assert "a submission is a folder" in refused(capsys, verify.main, str(submission / name))
    Path("link").symlink_to(submission)
    assert "a submission is a folder" in refused(capsys, verify.main, "link")
