"""Differences between two runs are paired: against a slow plain bootstrap, and for committed runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import leaderboard
from benchmark.core import cli
from benchmark.core.errors import UserError
from leaderboard import compare
from leaderboard.records import outcomes, record
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.sections import Score
from leaderboard.scores import paired
from leaderboard.scores.paired import resample_together
from tests.conftest import copy_run

MINI = Path(leaderboard.__file__).parent / "results" / "mini-1"


@pytest.fixture(scope="module")
def runs() -> dict[str, Outcomes]:
    names = ("hypernetwork", "kn", "spt")
    return {name: outcomes.read(MINI / f"{name}-sparsity=0.95") for name in names}


def differences(first: Outcomes, second: Outcomes, replicates: int = 1000) -> dict[str, Score]:
    """First minus second, resampled together."""
    return paired.differences(*resample_together([first, second], replicates=replicates))


def plain(first: Outcomes, second: Outcomes, replicates: int) -> np.ndarray:
    """GR of the pairs and LR of `first` minus `second` in each replicate, (replicates, 2), by plain loops over edits.

    Groups of pairs are drawn whole, one fewer than there are; no drawing is drawn but those of D_l.
    """
    edit, kept = (
        first.samples[first.samples["split"] == split].reset_index(drop=True) for split in ("edit", "locality")
    )
    gains: dict[str, list[float]] = {}
    changes: dict[str, list[np.ndarray]] = {}
    for ours, theirs in zip(first.edits.itertuples(), second.edits.itertuples(), strict=True):
        if edit["subset"][ours.sample] != "pairs":
            continue
        members = np.flatnonzero(edit["group_id"] == ours.group_id)
        others = members != ours.sample
        labels = edit["label"].to_numpy()[members]
        hits = [(run.group_predictions == labels)[others].mean() for run in (ours, theirs)]
        gains.setdefault(ours.group_id, []).append(hits[0] - hits[1])
        right = [(run.locality_predictions == kept["label"].to_numpy()).astype(float) for run in (ours, theirs)]
        changes.setdefault(ours.group_id, []).append(right[0] - right[1])
    rng, results = np.random.default_rng(3), []
    drawings = {drawing: np.flatnonzero(kept["drawing"] == drawing) for drawing in kept["drawing"].unique()}
    for _ in range(replicates):
        groups = rng.choice(list(gains), len(gains) - 1)
        images = np.concatenate([drawings[name] for name in rng.choice(list(drawings), len(drawings))])
        edits = [change for group in groups for change in changes[group]]
        results.append(
            [np.mean([np.mean(gains[group]) for group in groups]), np.mean([e[images].mean() for e in edits])]
        )
    return np.array(results)


def test_against_a_bootstrap_by_plain_loops(runs: dict[str, Outcomes]) -> None:
    pairs = [of_pairs(runs[name]) for name in ("kn", "hypernetwork")]
    difference = differences(*pairs, replicates=4000)
    ends = np.percentile(plain(*pairs, replicates=1000), [2.5, 97.5], axis=0)
    for column, name in enumerate(("gr_pairs", "lr")):
        assert (difference[name].low, difference[name].high) == pytest.approx(tuple(ends[:, column]), abs=0.006), name


def of_pairs(run: Outcomes) -> Outcomes:
    subset = run.samples["subset"].to_numpy()[run.edits["sample"]]
    return replace(run, edits=run.edits[subset == "pairs"])


@pytest.mark.parametrize(
    ("name", "gr", "lr"),
    [("kn", (6.4, 3.6, 10.3), (-3.8, -4.7, -2.8)), ("spt", (1.1, -1.1, 3.5), (1.1, 0.4, 1.9))],
)
def test_committed_runs_against_the_hypernetwork(runs: dict[str, Outcomes], name: str, gr: tuple, lr: tuple) -> None:
    """Points and intervals as plain loops over the rows gave them once, which drew drawings as well as groups."""
    difference = differences(runs[name], runs["hypernetwork"])
    for score, (value, low, high) in (("gr", gr), ("lr", lr)):
        assert 100 * difference[score].value == pytest.approx(value, abs=0.05)
        ends = (100 * difference[score].low, 100 * difference[score].high)
        assert ends == pytest.approx((low, high), abs=0.5)
        assert (low > 0 or high < 0) == (difference[score].low > 0 or difference[score].high < 0), "the same conclusion"


def test_a_run_is_not_ahead_of_itself_and_the_other_way_round_is_the_negative(runs: dict[str, Outcomes]) -> None:
    same = differences(runs["kn"], runs["kn"], replicates=50)
    assert all((score.value, score.low, score.high) == (0, None, None) for score in same.values())
    there, back = (differences(runs[a], runs[b], replicates=50) for a, b in (("kn", "spt"), ("spt", "kn")))
    for name, score in there.items():
        assert score.value == pytest.approx(-back[name].value, abs=1e-12)


def test_other_edits_are_refused(runs: dict[str, Outcomes]) -> None:
    with pytest.raises(UserError, match="same edits"):
        differences(runs["kn"], replace(runs["spt"], edits=runs["spt"].edits[:-1]))
    swapped = runs["spt"].samples.assign(sha256=runs["spt"].samples["sha256"].to_numpy()[::-1])
    with pytest.raises(UserError, match="same edits"):
        differences(runs["kn"], replace(runs["spt"], samples=swapped))


def compared(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The text that the command prints."""
    cli.run(compare.main, [str(word) for word in words])
    return capsys.readouterr().out


def test_the_command_subtracts_the_last_run_from_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    shown = compared(capsys, *(MINI / f"{name}-sparsity=0.95" for name in ("kn", "spt", "hypernetwork")))
    ranking, differences = shown.split("minus hypernetwork:sparsity=0.95")
    ranks = [line.split("  ")[0] for line in ranking.splitlines() if " of 1 " in line]
    assert ranks == ["spt: sparsity 0.95", "kn: sparsity 0.95", "hypernetwork: sparsity 0.95"], "the larger area first"
    rows = {line.split()[0]: line for line in differences.splitlines() if line}
    assert "6.4 [" in rows["kn:sparsity=0.95"] and "-3.8 [" in rows["kn:sparsity=0.95"]
    assert "1.1 [" in rows["spt:sparsity=0.95"] and "hypernetwork:sparsity=0.95" not in rows


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ft"], "one run alone, of ft; name a second one"),
        (["ft", "ft"], "one run alone, of ft; name a second one"),
        (["ft", "copy of ft"], "are two records of one run"),
        (["ft", "of other edits"], "not comparable: limit is None in one and 7"),
        (["ft", "of another base"], "not comparable: identity is"),
        (["ft", "of another seed"], "must hold the same edits of the same base; give those of one --limit and --seed"),
        (["ft", "of other samples"], "must hold the same edits of the same base"),
        (["ft", "with outcomes of another"], "other outcomes than those of its record"),
        (["ft", "without outcomes"], "outcomes.parquet: no such file"),
        (["ft", "nowhere"], 'no run or editor with one is called "nowhere"'),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    names: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy_run(MINI / "ft", Path("ft"))
    copy_run(MINI / "ft", Path("out/leaderboard/ft"))
    kn = record.read(MINI / "kn-sparsity=0.95" / "record.json")

    def copy(name: str, run: Outcomes | None = None, **sections: dict[str, object]) -> None:
        """A run of kn in the folder `name`, with some values of its record's sections, or its outcomes, replaced."""
        copy_run(MINI / "kn-sparsity=0.95", Path(name))
        changed = {section: getattr(kn, section).model_copy(update=values) for section, values in sections.items()}
        if run is not None:
            run.samples.to_parquet(Path(name) / "samples.parquet")
            run.edits.to_parquet(Path(name) / "outcomes.parquet")
            changed["outcomes"] = kn.outcomes.model_copy(update={"sha256": outcomes.digest(run)})
        kn.model_copy(update=changed).write(Path(name) / "record.json")

    shutil.copytree("ft", "copy of ft")
    copy("of other edits", protocol={"limit": 7})
    copy("of another base", base={"identity": "0" * 64})
    run = outcomes.read(MINI / "kn-sparsity=0.95")
    copy("of another seed", replace(run, edits=run.edits[1:]), protocol={"seed": 1})
    others = run.samples.assign(sha256=run.samples["sha256"].to_numpy()[::-1])
    copy("of other samples", replace(run, samples=others))
    copy("with outcomes of another")
    shutil.copy(MINI / "ft" / "outcomes.parquet", "with outcomes of another")
    copy("without outcomes")
    Path("without outcomes/outcomes.parquet").unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        compared(capsys, *names)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
