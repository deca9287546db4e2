"""A site of a few committed runs, one of them under a hostile name, made once."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmark.data.dataset import load
from leaderboard.board.site import write_site
from leaderboard.records.record import Record
from leaderboard.records.runs import find_newest, group_comparable
from tests.hub_server import ROOT

HOSTILE = "<script>alert(1)</script>\x07%{x}<b>.py:MyEditor"
Runs = list[tuple[Path, Record]]


@pytest.fixture(scope="session")
def runs() -> Runs:
    """Ten committed runs that may be compared, of several editors; the last one is renamed."""
    committed = find_newest([ROOT / "leaderboard" / "results"])
    path_of = {record.key: path for path, record in committed}
    comparable = max(group_comparable([record for _, record in committed]), key=len)
    by_editor = itertools.groupby(comparable, key=lambda record: record.editor.name)
    chosen = [record for _, records in by_editor for record in itertools.islice(records, 2)][:10]
    last = chosen[-1]
    chosen[-1] = last.model_copy(update={"editor": last.editor.model_copy(update={"name": HOSTILE, "spec": HOSTILE})})
    return [(path_of[record.key], record) for record in chosen]


@pytest.fixture(scope="session")
def site(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site of these runs."""
    out = tmp_path_factory.mktemp("site") / "out"
    write_site(out, runs, load("mini"))
    return out
