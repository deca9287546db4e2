"""The site's files: which pictures they show, what they hold of the records, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from benchmark.core import cli
from benchmark.core.errors import UserError
from benchmark.data.dataset import load
from leaderboard import site as command
from leaderboard.board import entries
from leaderboard.board.entries import read_tables
from leaderboard.board.pictures import SIDE, Pictures
from leaderboard.board.plot import find_front
from leaderboard.board.site import write_site
from leaderboard.records import outcomes
from leaderboard.records.sections import CheckSection
from leaderboard.submissions.card import Card
from tests.leaderboard.board.conftest import Runs

LARGEST = 15_000_000  # bytes of the site of all committed runs, of which the libraries are 5.5 million


def test_each_run_and_each_group_has_its_page(site: Path, runs: Runs) -> None:
    assert len([*(site / "editors").iterdir()]) == len([*(site / "data").iterdir()]) - 1 == len(runs)
    samples = outcomes.read(runs[0][0].parent).samples
    n_sets = samples["group_id"].nunique() + samples["split"].nunique() - 1
    assert len([*(site / "groups").iterdir()]) == n_sets
    assert len([*(site / "images").iterdir()]) <= len(samples)


def test_no_page_names_another_place(site: Path) -> None:
    for file in site.rglob("*.html"):
        for address in re.findall(r'(?:src|href)="([^"]*)"', file.read_text(encoding="utf-8")):
            assert not re.match(r"[a-z]+:|//", address) or address == "data:,", f"{file}: {address}"


def test_the_whole_board_will_be_small_enough(site: Path, runs: Runs) -> None:
    """Of 120 runs; a run costs its page and its data."""
    sizes = {file: file.stat().st_size for file in site.rglob("*") if file.is_file()}
    of_runs = sum(size for file, size in sizes.items() if file.parent.name in ("editors", "data"))
    assert sum(sizes.values()) - of_runs + 120 * of_runs / len(runs) < LARGEST


def test_only_pictures_that_may_be_passed_on_are_shown(runs: Runs, tmp_path: Path) -> None:
    images = load("mini").edit
    table = images.table.copy()
    table.loc[0, "source"], table.loc[1, "source"] = "ImageNet-1k", None
    hidden = replace(images, table=table)
    pictures = Pictures.of(tmp_path, [hidden])
    assert [pictures.ask(sha256) is None for sha256 in table["sha256"][:3]] == [True, True, False]
    assert pictures.withheld == 2
    every = Pictures.of(tmp_path, [hidden], show_all=True)
    name = every.ask(table["sha256"][0])
    assert name is not None and max(Image.open(tmp_path / name).size) <= SIDE
    assert every.credit(table["sha256"][0]) == f"{table['attribution'][0]}, {table['licence'][0]}"
    assert every.ask("0" * 64) is None, "an image that the data do not hold"


def test_a_private_site_says_so_on_every_page(runs: Runs, tmp_path: Path, site: Path) -> None:
    write_site(tmp_path / "site", runs[:2], load("mini"), show_all=True)
    for file in (tmp_path / "site").rglob("*.html"):
        assert "Keep it on this machine" in file.read_text(encoding="utf-8")
    assert "Keep it on this machine" not in (site / "index.html").read_text(encoding="utf-8")


def test_the_front_is_what_nothing_exceeds(runs: Runs) -> None:
    (table,) = read_tables(runs)
    front = {entry.page for entry in find_front(table.entries)}
    points = {
        entry.page: (entry.record.scores["gr"].value, entry.record.scores["lr"].value)
        for entry in table.entries
        if entry.record.scores["sr"].value >= 0.95
    }
    for page, (gr, lr) in points.items():
        exceeded = any(x >= gr and y >= lr and (x, y) != (gr, lr) for x, y in points.values())
        assert (page in front) == (not exceeded)


def test_the_command_replaces_its_own_site_and_nothing_else(runs: Runs, tmp_path: Path, capsys) -> None:
    out = tmp_path / "site"
    words = [str(runs[0][0].parent), "--out", str(out)]
    cli.run(command.main, words)
    assert f"open {out / 'index.html'}" in capsys.readouterr().out
    cli.run(command.main, words)
    assert json.loads((out / "site.json").read_text())["runs"] == [runs[0][1].key]
    (out / "own.txt").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        cli.run(command.main, words)
    assert stop.value.code == 2 and "own.txt, which no site made" in capsys.readouterr().err
    assert (out / "own.txt").read_text() == "mine"


def test_outcomes_of_other_images_than_the_record_says_are_refused(runs: Runs, tmp_path: Path, monkeypatch) -> None:
    read = outcomes.read

    def forged(folder: Path, sha256: str) -> outcomes.Outcomes:
        run = read(folder, sha256)
        if folder == runs[1][0].parent:
            run.samples.loc[0, "label"] = 1
        return run

    monkeypatch.setattr(outcomes, "read", forged)
    with pytest.raises(UserError, match="other images than its record says"):
        write_site(tmp_path / "site", runs[:3], load("mini"))
    assert not (tmp_path / "site").exists()


def test_checks_level_and_card_are_shown_as_text(runs: Runs, tmp_path: Path, monkeypatch) -> None:
    check = CheckSection(name="same seed, same edit", passed=False, reason="<b>3 of 5</b> differ")
    record = runs[0][1].model_copy(update={"checks": (check, check.model_copy(update={"passed": True}))})
    card = Card.model_construct(
        schema_version="1", method="<i>Mine", authors=["Ann", "Bo"], paper="https://example.org/paper", code="none",
        licence="MIT", trained_on="javascript:alert(1)", weights="none",
    )  # fmt: skip
    monkeypatch.setattr(entries, "find_card", lambda folder: card)
    monkeypatch.setattr(entries, "level_of", lambda folder, record: "re-run")
    write_site(tmp_path / "site", [(runs[0][0], record)], load("mini"))
    (page,) = (tmp_path / "site" / "editors").iterdir()
    html = page.read_text(encoding="utf-8")
    assert "<b>failed</b> same seed, same edit" in html and "&lt;b&gt;3 of 5&lt;/b&gt; differ" in html
    assert "&lt;i&gt;Mine</b>, by Ann, Bo" in html and 'href="https://example.org/paper"' in html
    assert "<dt>Verified</dt><dd>re-run</dd>" in html and 'href="javascript' not in html
    table = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "1 of 2" in table and '<td class="level">re-run</td>' in table
