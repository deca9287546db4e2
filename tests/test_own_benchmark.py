"""The toolkit's whole chain on the mini pair: search, review by two, export, locality, build, submit."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmark import build, load
from benchmark.core import cli
from leaderboard import tables
from tests.pages import read_commands, save_pool, walk

PAGE = "docs/own-benchmark.md"
SHORT = {"mad.search": "--pool pool", "leaderboard.submit": "--limit 2"}
SOME = "python -m mad.review out/mad/few.csv ..."


def test_from_a_search_to_scores_on_a_benchmark_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the page says, on a part of the embedded pool."""
    monkeypatch.chdir(tmp_path)
    save_pool(Path("pool"), 300)
    commands = [command for command in read_commands(PAGE) if command != SOME]
    assert len(commands) == 9
    walk(PAGE, {command: SHORT.get(command.split()[2], "") for command in commands})
    benchmark = load("my-groups")
    assert len(benchmark.edit) == len(pd.read_csv("out/mad/membership.csv"))
    groups = pd.read_csv("out/mad/groups.csv")
    assert sorted(benchmark.groups) == sorted(groups["group_id"])
    assert (benchmark.edit.table["label"] == benchmark.edit.table["strong_prediction"]).all()
    members = dict(zip(groups["group_id"], groups["base_index"], strict=True))
    assert (benchmark.edit.table["base_prediction"] == benchmark.edit.table["group_id"].map(members)).all()
    card = Path("my-groups/README.md").read_text(encoding="utf-8")
    assert "# my-groups: own groups" in card and "n<1K" in card
    assert "mini and mini-strong disagree on these images of pool; ann and bo accepted" in card
    cli.run(tables.main, ["out/leaderboard"])
    assert "mini on my-groups own" in capsys.readouterr().out
    records = [json.loads(path.read_text()) for path in Path("out/leaderboard").rglob("record.json")]
    assert [record["data"]["name"] for record in records] == ["my-groups", "my-groups"]


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
