"""The toolkit's whole chain on the mini pair: search, review by two, export, locality, build, submit."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmark import build, inspect, load, locality
from benchmark.core import cli
from benchmark.images.open import open_images
from leaderboard import submit, tables
from mad import search
from mad.review.__main__ import main as review
from mad.review.groups import read_candidates
from mad.review.images import find_images
from mad.review.session import Session
from mad.review.store import FILE, AnswerStore

POOL = 300  # images of the embedded pool


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a search in a part of the embedded pool."""
    monkeypatch.chdir(tmp_path)
    Path("pool").mkdir()
    images = open_images("mini")
    for position in range(POOL):
        Path("pool", f"{position}.webp").write_bytes(images.read(position))
    cli.run(search.main, ["--pool", "pool", "--out", "mad"])
    return tmp_path / "mad"


def accept_all(folder: Path, annotator: str) -> int:
    """Accept every image as this annotator would in the browser; return how many there were."""
    candidates, store = read_candidates(folder), AnswerStore(folder / FILE)
    session = Session(candidates.images, find_images(candidates), store, annotator)
    while (item := session.view()["item"]) is not None:
        session.answer(item["key"], True)
    store.close()
    return len(candidates.images)


def test_from_a_search_to_scores_on_a_benchmark_of_ones_own(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reviewed = {accept_all(searched, "ann"), accept_all(searched, "bo")}
    cli.run(review, ["export", "mad", "--out", "groups"])
    cli.run(locality.main, ["--base", "mini", "--imagenet", "mini", "--out", "chosen"])
    cli.run(build.main, ["--own", "groups", "--locality", "chosen/images", "--out", "mine"])
    benchmark = load("mine")
    assert {len(benchmark.edit)} == reviewed
    groups = pd.read_csv("mad/groups.csv")
    assert sorted(benchmark.groups) == sorted(groups["group_id"])
    assert (benchmark.edit.table["label"] == benchmark.edit.table["strong_prediction"]).all()
    members = dict(zip(groups["group_id"], groups["base_index"], strict=True))
    assert (benchmark.edit.table["base_prediction"] == benchmark.edit.table["group_id"].map(members)).all()
    card = Path("mine/README.md").read_text(encoding="utf-8")
    assert "# mine: own groups" in card and "n<1K" in card
    assert "mini and mini-strong disagree on these images of pool; ann and bo accepted" in card
    cli.run(inspect.main, ["mine"])
    cli.run(submit.main, ["ft", "--data", "mine", "--limit", "2"])
    cli.run(tables.main, ["out/leaderboard"])
    assert "mini on mine own" in capsys.readouterr().out
    (record,) = Path("out/leaderboard").rglob("record.json")
    assert json.loads(record.read_text())["data"]["name"] == "mine"


def test_own_groups_need_a_folder_and_a_locality_set_of_their_own(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("groups/468_cab-bee").mkdir(parents=True)
    for words, message in (
        (["--own", "groups"], "name a folder for groups of your own with --out"),
        (["--own", "groups", "--out", "mine"], "give --locality too"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.run(build.main, words)
        assert stop.value.code == 2 and message in capsys.readouterr().err
