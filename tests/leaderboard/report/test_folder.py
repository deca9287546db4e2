"""The folder of a report: whole, with the values of the rows that it was made of, its submissions ready to verify."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import leaderboard
from benchmark.core.checksums import read_checksums
from benchmark.core.errors import UserError
from benchmark.core.files import sha256
from leaderboard.analyses.paper import Sources
from leaderboard.analyses.paper_makers import MAKERS
from leaderboard.claims.report import ClaimReport
from leaderboard.claims.rules import FAILS, HOLDS, OPEN
from leaderboard.claims.table import read_table
from leaderboard.report import handing
from leaderboard.report.content import read_content
from leaderboard.report.drawing import SHOWS
from leaderboard.report.folder import write_report
from leaderboard.submissions.checking import check_run, judge_of
from leaderboard.submissions.layout import RECORD
from leaderboard.submissions.submission import read_submission
from tests.leaderboard.report.conftest import NOTES, STEPS
from tests.leaderboard.submissions.conftest import fill_card

COMMITTED = Path(leaderboard.__file__).parent / "results"


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_data_are_the_rows_of_the_claims(report: Path, known: Sources) -> None:
    content = read_content(report)
    chosen = {"figure-4", "figure-2b", "table-A"}
    own = ClaimReport(known)
    rows = [
        row
        for claim in read_table().claims
        if (figures := tuple(name for name in claim.figures if name in chosen))
        for row in own.rows_of(claim.model_copy(update={"figures": figures}))
    ]
    assert content.claims == tuple(rows) and {row.verdict for row in rows} == {HOLDS, FAILS, OPEN}
    lora = [row for row in content.claims if row.claim == "lora-generalises-little"]
    assert [row.verdict for row in lora] == [HOLDS, HOLDS] and {row.figure for row in lora} == {
        "Fig. 4: Editing results"
    }
    asked = {number.id for number in read_table().numbers if number.claim is None} | {"scope_best_ffns"}
    assert asked <= {number.id for number in content.numbers} and "ablation_t_1_finding" not in str(content.numbers)
    assert content.steps == tuple(STEPS) and content.notes == tuple(NOTES)
    assert content.conditions[0].base == "vitb16" and sum(each.runs for each in content.conditions) == len(known.runs)
    assert (
        "NaN" not in text_of(report / "paper.json")
        and json.loads(text_of(report / "paper.json"))["schema_version"] == 1
    )


def test_the_page_shows_what_was_made_and_what_was_not(report: Path) -> None:
    page, content = text_of(report / "report.html"), read_content(report)
    made, absent, table = content.figures[1], content.figures[0], content.figures[2]
    assert made.files == ("figures/figure-4.csv", "figures/figure-4.svg") and not made.missing
    assert 'href="figures/figure-4.csv"' in page and 'src="data:image/svg+xml;base64,' in page
    assert table.files == ("figures/table-A.csv", "figures/table-A.tex")
    groups = pd.read_csv(report / "figures" / "table-A.csv")["group"]
    assert all(f"<td>{group}</td>" in page for group in groups)
    assert absent.name == "figure-2b" and not absent.files and "no such runs" in absent.missing
    for words in (
        "there are no such runs",
        "<code>python -m leaderboard.analyse layers</code>",
        *NOTES,
        "12 min",
        "Edit &amp; judge.",
    ):
        assert words in page
    assert "<script" not in page.lower() and "alert(1)" in page
    for verdict in (HOLDS, FAILS, OPEN):
        count = sum(row.verdict == verdict for row in content.claims)
        assert f"<b>{count}</b> {verdict}</li>" in page


def test_every_kind_of_figure_has_a_caption() -> None:
    assert SHOWS.keys() == MAKERS.keys()


def test_each_editors_runs_are_a_submission_that_is_verified(
    real: Sources, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("VIT_EDIT_BENCH_CACHE", str(workplace / "cache"))
    out = tmp_path / "out"
    result = write_report(real, out, STEPS)
    content = read_content(out)
    lines = {line.folder: line for line in content.submissions}
    assert {folder: len(line.settings) for folder, line in lines.items()} == {
        "submissions/ft-l2": 2, "submissions/ft-l2-2": 1, "submissions/mine.py-Mine": 1,
    }  # fmt: skip
    assert [line.problem for line in lines.values() if line.editor == "ft-l2"] == ["", ""]
    assert "submission.yaml: authors" in lines["submissions/mine.py-Mine"].problem, "a stranger writes his own card"
    fill_card(out / "submissions" / "mine.py-Mine")
    for folder in lines:
        submission = read_submission(out / folder)
        judge = judge_of(submission.runs[0].record, "base", "noise")
        for run in submission.runs:
            check_run(run, judge)
    listed = read_checksums(out)
    assert names_below(out) - listed.keys() == {"SHA256SUMS", *(f"{folder}/submission.yaml" for folder in lines)}
    assert all(sha256(out / name) == digest for name, digest in listed.items())
    assert {*result.made, *result.missing} == {line.name for line in content.figures} and "figure-4" in result.made
    assert sum(result.verdicts.values()) == len(content.claims)

    again = write_report(real, out, STEPS, figures=["table-A"])
    assert again.made == ("table-A",) and names_below(out / "figures") == {"table-A.csv", "table-A.tex"}
    assert read_submission(out / "submissions" / "mine.py-Mine").card.authors[1] == "李", (
        "a card that was filled in stays"
    )
    assert not [line.problem for line in read_content(out).submissions if line.problem]


def test_runs_that_cannot_be_packed_say_why(report: Path) -> None:
    submissions = read_content(report).submissions
    assert submissions and all("run" in line.problem and not line.folder for line in submissions)


def test_runs_of_the_projects_results_are_not_handed_in_again(tmp_path: Path) -> None:
    committed = Sources.below([next(path.parent for path in sorted(COMMITTED.rglob(RECORD)))])
    (line,) = handing.write_submissions(committed.runs, tmp_path, tmp_path / "earlier")
    assert line.problem == handing.HANDED_IN and not line.folder and not list(tmp_path.iterdir())


def test_too_many_runs_for_one_submission_are_shared(real: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run for run in real.runs if run[1].editor.name == "ft-l2"]
    assert list(handing.split_by_size(runs)) == [runs]
    size = sum(file.stat().st_size for file in runs[0][0].parent.iterdir() if file.is_file())
    monkeypatch.setattr(handing, "ROOM", 2.5 * size)
    assert [len(part) for part in handing.split_by_size(runs)] == [2, 1]


@pytest.mark.parametrize("is_report", [True, False])
def test_what_is_no_report_stays(is_report: bool, report: Path, known: Sources, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if is_report:
        shutil.copytree(report, out)
        with pytest.raises(UserError, match=r"record\.json lies in it"):
            write_report(Sources((), [(out / RECORD, known.runs[0][1])]), out, STEPS)
    out.mkdir(exist_ok=True)
    (out / "mine.txt").write_text("mine")
    before = names_below(out)
    with pytest.raises(UserError, match=r"mine\.txt, which no report made"):
        write_report(known, out, STEPS)
    assert names_below(out) == before


def test_data_of_another_version_are_one_line(report: Path, tmp_path: Path) -> None:
    text = text_of(report / "paper.json")
    for changed, problem in (
        ("{}", "schema_version Field required"),
        (text.replace(": 1,", ": 2,", 1), "schema_version"),
    ):
        (tmp_path / "paper.json").write_text(changed, encoding="utf-8")
        with pytest.raises(UserError, match=rf"paper\.json: is no report of this version: {problem}"):
            read_content(tmp_path)


def test_a_figure_that_there_is_none_of_is_named(known: Sources, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match='no figure or table of the paper is called "figure-44"; did you mean "figure-4"'
    ):
        write_report(known, tmp_path / "out", STEPS, figures=["figure-44"])


def test_without_a_run_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is none; python -m leaderboard\.submit"):
        write_report(Sources((), []), tmp_path / "out", STEPS)
    assert not list(tmp_path.iterdir())


def test_a_report_that_fails_leaves_the_old_one(
    report: Path, known: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(report, tmp_path / "out")
    before = {name: sha256(out / name) for name in names_below(out)}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leaderboard.report.folder.write_page", stop)
    with pytest.raises(KeyboardInterrupt):
        write_report(known, out, STEPS, figures=["table-A"])
    assert {name: sha256(out / name) for name in names_below(out)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_path_of_this_machine_is_not_shown(report: Path) -> None:
    for name in ("report.html", "paper.json"):
        assert not re.search(r"(?<![\w.:/])/(home|tmp|root|work)/", text_of(report / name))
