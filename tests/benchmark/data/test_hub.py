"""A benchmark on the Hub, met by name: fetched at one commit, which is recorded; from the cache afterwards."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest

from benchmark.core import cli
from benchmark.core.errors import UserError
from benchmark.data import hub as data_hub
from benchmark.data.dataset import load
from benchmark.data.training import training_images
from benchmark.images.open import open_images
from leaderboard import submit
from tests.benchmark.publish.test_card import folder_of
from tests.conftest import rows_of, write_split
from tests.hub_server import HubServer

NAME = "some/noise"


@pytest.fixture
def commits(hub: HubServer, small_data: Path) -> list[str]:
    """Two commits of a data set of noise: `small_data`, and then the same with other training images."""
    first = hub.add("datasets", NAME, small_data)
    newer = Path(shutil.copytree(small_data, small_data.with_name("newer") / "noise"))
    write_split(newer / "data", "train", rows_of({(None, "train"): 9}, seed=4))
    return [first, hub.add("datasets", NAME, newer)]


def test_it_is_the_same_as_its_folder_and_its_source_is_the_commit(commits: list[str], small_data: Path) -> None:
    benchmark, folder = load(NAME), load(str(small_data))
    assert benchmark.source == f"{NAME}@{commits[1]}"
    assert benchmark.fingerprint == folder.fingerprint, "what is scored is the same, wherever it lies"
    assert (benchmark.name, benchmark.version) == ("noise", "local")
    assert len(training_images(benchmark.train)) == 9
    earlier = load(f"{NAME}@{commits[0]}")
    assert earlier.source == f"{NAME}@{commits[0]}" and len(training_images(earlier.train)) == 6
    assert load(benchmark.source).source == benchmark.source


def test_a_run_records_the_commit_and_goes_on_from_the_cache(
    hub: HubServer, commits: list[str], small_data: Path, tmp_path: Path, monkeypatch, caplog
) -> None:
    """Online, while the Hub is out of order, with HF_HUB_OFFLINE, and of the folder itself: one run."""

    def submit_on(data: str) -> bytes:
        cli.run(
            submit.main, ["null-edit", "--in-process", "--limit", "1", "--out", str(tmp_path / "runs"), "--data", data]
        )
        (path,) = (tmp_path / "runs").rglob("record.json")
        return path.read_bytes()

    record = submit_on(NAME)
    assert json.loads(record)["data"]["source"] == f"{NAME}@{commits[1]}"
    hub.broken = True
    assert submit_on(NAME) == record
    assert f"{NAME}@{commits[1]}, which the cache has; the Hub was not asked" in caplog.text
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    asked = len(hub.requests)
    assert submit_on(f"{NAME}@{commits[1]}") == record and len(hub.requests) == asked
    assert submit_on(str(small_data)) == record, "the same images are one run, wherever they lie"


def test_what_is_no_benchmark_is_refused_before_it_is_fetched(hub: HubServer, tmp_path: Path) -> None:
    write_split(tmp_path / "photos" / "data", "train", rows_of({(None, "train"): 3}, seed=1))
    hub.add("datasets", "some/photos", tmp_path / "photos")
    with pytest.raises(UserError, match=r"some/photos: has no data/edit-\*\.parquet on the Hub, .*take mini"):
        load("some/photos")
    assert not [path for method, path in hub.requests if "/resolve/" in path or "/lfs/" in path]


def test_what_is_not_there_is_one_line_with_what_to_do_today(
    hub: HubServer, commits: list[str], tmp_path: Path
) -> None:
    for name, reason in (
        ("where2edit/vit-edit-bench", "nothing of that name"),
        (f"{NAME}@v7", "no such revision"),
        (f"{NAME}@{'0' * 40}", "no such revision"),
    ):
        with pytest.raises(UserError) as error:
            data_hub.fetch(name)
        assert str(error.value).startswith(f"{name}: no such folder here, and the data set cannot be had (")
        assert reason in str(error.value) and "take mini, which is embedded" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "command",
    [
        ("benchmark.inspect",),
        ("benchmark.hydrate",),
        ("leaderboard.tune", "ft", "--data"),
        ("leaderboard.analyse", "layers", "--data"),
        ("leaderboard.submit", "ft", "--data"),
    ],
)
def test_every_command_takes_it_or_refuses_it_in_the_same_line(
    command: tuple[str, ...], hub: HubServer, capsys
) -> None:
    name, *words = command
    with pytest.raises(SystemExit) as stop:
        cli.run(importlib.import_module(name).main, [*words, "some/nothing"])
    assert stop.value.code == 2
    assert "some/nothing: no such folder here, and the data set cannot be had" in capsys.readouterr().err


def test_a_folder_goes_before_the_hub(hub: HubServer, commits: list[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_split(tmp_path / NAME / "data", "edit", rows_of({("1-2", "pairs"): 2}, seed=5))
    write_split(tmp_path / NAME / "data", "locality", rows_of({(None, "locality"): 2}, seed=6))
    asked = len(hub.requests)
    assert load(NAME).source == NAME and len(hub.requests) == asked


def test_published_without_pixels_it_is_hydrated_by_its_name(hub: HubServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    commit = hub.add("datasets", "some/bare", folder_of(tmp_path / "bare", bare=True))
    hint = f"python -m benchmark.hydrate some/bare@{commit} --help"
    with pytest.raises(UserError, match=hint):
        load("some/bare")


def test_a_folders_name_with_a_slip_is_answered_without_the_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "mini_generated" / "data").mkdir(parents=True)
    with pytest.raises(UserError, match=r"did you mean .out.mini_generated.[?]"):
        load("out/mini_generatd")
    with pytest.raises(UserError, match=r"no such file or folder [(]did you mean out.mini_generated[?][)]"):
        open_images("out/mini_generatd")
    assert hub.requests == []
    assert data_hub.is_on_hub("out/mini_generatd@main"), "a revision is the Hub's"
