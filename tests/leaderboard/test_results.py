"""Every committed record is what its outcomes say, about data and weights that are still the ones shipped."""

from __future__ import annotations

import json
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

from benchmark.data.dataset import load
from benchmark.models.load import load_base
from editors.core.registry import SETTINGS, built_in, choose
from leaderboard.records import outcomes, record
from leaderboard.scores import metrics
from tests.hub_server import ROOT
from tests.records import docs
from tests.records.shown import EXAMPLE, RESULTS, TABLES, committed, network

RECORDS = sorted(RESULTS.rglob("record.json"))


@lru_cache
def weights(name: str) -> str:
    return load_base(name).weights_sha256


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.parent.name}/{path.parent.name}")
def test_scores_come_out_of_the_outcomes_beside_the_record(path: Path) -> None:
    result, rows = record.read(path), outcomes.read(path.parent)
    assert outcomes.digest(rows) == result.outcomes.sha256
    assert len(rows.edits) == result.outcomes.edits
    again = metrics.scores(metrics.compute_hits(rows))
    assert {name: score.value for name, score in result.scores.items()} == pytest.approx(again, nan_ok=True)
    assert result.base.weights_sha256 == weights(result.base.name)
    data = load(result.data.name)  # this base gets all of it wrong, so nothing was filtered away
    assert (result.data.version, result.data.fingerprint) == (data.version, data.fingerprint)


def test_tables_and_pictures_of_the_docs_are_made_from_the_records() -> None:
    """`python -m tests.records.docs` makes them."""
    assert docs.find_stale_tables({name: make() for name, make in TABLES.items()}) == []
    assert docs.find_stale_pictures() == []


@pytest.mark.parametrize("spec", ["head-only", EXAMPLE])
def test_a_head_edit_loses_the_class_that_it_takes_from_and_hardly_anything_far_away(spec: str) -> None:
    """EXAMPLE is README's editor. LR, of near-boundary images of any class, is between the two."""
    ((_, result),) = committed().choose([spec])
    lr, taken, far = (result.scores[name] for name in ("lr", "lr_taken", "lr_far"))
    assert taken.low is not None and taken.high is not None and far.low is not None and lr.low is not None
    assert taken.high < lr.low and taken.high < far.low, "no interval overlaps"
    assert far.low > 0.9, "a random image that the base gets right stays right"


def test_the_usual_network_of_each_ablation_is_one_and_the_same() -> None:
    """Trained again for each study, from one bank and one seed: equal outcomes, to the last digit of every score."""
    runs = {network(run): run for _, run in committed("mini-1-ablation").choose(["*,sparsity=0.95"])}
    usual = [
        runs[name].outcomes.sha256 for name in ("T=5", "inner-lr=0.001", "lambda=1.0", "blocks=5", "pseudo=cutmix")
    ]
    assert len(set(usual)) == 1
    assert len({run.outcomes.sha256 for run in runs.values()}) == len(runs) - 4, "any other value gives other edits"


def test_settings_that_are_shipped_for_the_mini_have_a_result() -> None:
    scored = {(result.editor.name, result.editor.spec) for result in map(record.read, RECORDS)}
    shipped = json.loads(SETTINGS.read_text(encoding="utf-8"))["mini"]
    assert shipped.keys() <= built_in().keys()
    for name in shipped:
        assert (name, choose(name, "mini").spec) in scored


def test_results_have_their_samples_once_and_a_clone_stays_small() -> None:
    assert not list(RESULTS.rglob("samples.parquet"))
    names = {path.stem for path in RESULTS.glob("samples/*.parquet")}
    assert names == {record.read(path).outcomes.samples_sha256 for path in RECORDS}
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 15_000_000
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sizes = [(ROOT / name).stat().st_size for name in tracked.split("\0") if name and (ROOT / name).is_file()]
    assert sum(sizes) < 60_000_000


def test_there_are_results() -> None:
    assert {path.parent.parent.name for path in RECORDS} == {"mini-1", "mini-1-lr", "mini-1-ablation"}
