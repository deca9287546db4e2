"""In a fresh clone the data set's name is the mini, for `load_dataset` and for every command, and nobody is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import copy_tracked
from tests.hub_server import HubServer

NAME = "where2edit/vit-edit-bench"
SCRIPT = f"""
import json
from pathlib import Path
from datasets import load_dataset
from benchmark import hydrate, inspect, load, load_base, open_images
from benchmark.core import cli
from benchmark.data.training import training_images
from editors.training.images import open_training_images
from leaderboard import submit, tune
name = "{NAME}"
mini, by_name = load("mini"), load(name)
cli.run(hydrate.main, [name])
cli.run(inspect.main, [name, "--out", "shown"])
cli.run(submit.main, ["null-edit", "--in-process", "--limit", "1", "--data", name, "--images", name, "--out", "runs"])
try:
    cli.run(tune.main, ["ft", "--data", name])
except SystemExit as stop:
    assert stop.code == 2
(record,) = Path("runs").rglob("record.json")
print(json.dumps({{
    "package": inspect.__file__,
    "same": [by_name.fingerprint == mini.fingerprint, by_name.source],
    "loaded": load_dataset(name)["edit"]["sha256"][:] == by_name.edit.table["sha256"].tolist(),
    "train": [len(training_images(name)), len(open_training_images(name))],
    "pool": [open_images(name).title, open_images(Path(name)).title],
    "record": json.loads(record.read_text())["data"]["name"],
    "sheets": len(list(Path("shown/mini").glob("*.png"))),
}}))
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that git keeps, and no others."""
    copy_tracked(tmp_path / "clone")
    return tmp_path / "clone"


def test_the_name_is_the_mini_for_every_command(clone: Path, hub: HubServer) -> None:
    done = hub.python(clone, "-c", SCRIPT, PYTHONPATH=str(clone))
    assert done.returncode == 0, done.stderr
    assert f"{NAME}: no image is left out" in done.stdout
    assert "error: mini is what is scored" in done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    assert Path(shown.pop("package")) == clone / "benchmark" / "inspect.py"
    assert shown == {
        "same": [True, "mini"],
        "loaded": True,
        "train": [1600, 1600],
        "pool": ["the embedded pool"] * 2,
        "record": "mini",
        "sheets": 21,
    }
    assert hub.requests == []


def test_elsewhere_it_is_the_hubs_and_one_line_says_what_to_do_today(hub: HubServer, tmp_path: Path) -> None:
    done = hub.python(tmp_path, "-m", "benchmark.inspect", NAME)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {NAME}: no such folder here") and "take mini, which is embedded" in line
