"""Runs that may stand in one table, plot or analysis: one rule, changed in one thing after the other."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import leaderboard
from benchmark.core import cli
from benchmark.core.errors import UserError
from benchmark.models.load import load_base
from leaderboard import analyse, tables
from leaderboard.records import record
from leaderboard.records.record import SCORING, Record
from leaderboard.records.runs import check_comparable, find_runs, group_comparable
from leaderboard.scores.curves import lines
from leaderboard.scores.tables import heading, markdown

RESULTS = Path(leaderboard.__file__).parent / "results"
PREPROCESSING = {"size": 64, "resize": 64, "interpolation": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.fixture(scope="module")
def run() -> Record:
    """A committed run."""
    return record.read(RESULTS / "mini-1" / "ft" / "record.json")


def changed(run: Record, **sections: dict) -> Record:
    """The record with some fields changed, by section."""
    values = run.model_dump()
    for section, new in sections.items():
        values[section] = {**values[section], **new} if isinstance(values[section], dict) else new
    return Record.model_validate(values)


OTHER_CONDITIONS = [
    ("identity", {"base": {"identity": "0" * 64}}),
    ("weights", {"base": {"weights_sha256": "0" * 64}}),
    ("preprocessing", {"base": {"preprocessing": PREPROCESSING}}),
    ("data", {"data": {"name": "mini-dev"}}),
    ("version", {"data": {"version": "mini-2"}}),
    ("fingerprint", {"data": {"fingerprint": "0" * 64}}),
    ("protocol", {"protocol": {"version": "1"}}),
    ("scoring", {"protocol": {"scoring": "1"}}),
    ("precision", {"protocol": {"precision": "bfloat16"}}),
    ("device", {"protocol": {"device": "cuda"}}),
    ("seed", {"protocol": {"seed": 7}}),
    ("limit", {"protocol": {"limit": 7}}),
    ("edited_groups", {"protocol": {"edited_groups": ["890-430"]}}),
    ("edit_batch", {"protocol": {"edit_batch": 1}}),
    ("score_batch", {"protocol": {"score_batch": 1}}),
    ("samples_per_edit", {"protocol": {"samples_per_edit": 2}}),
    ("edit_timeout", {"protocol": {"edit_timeout": 60.0}}),
    *(
        ("libraries", {"environment": {"versions": {"torch": "2.15.0", "torchvision": "0.29.2", "timm": "1.0.31",
                                                    "pillow": "13.0.0", "numpy": "2.4.6", library: "0.1"}}})
        for library in ("torch", "torchvision", "timm", "pillow", "numpy")
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sections"), OTHER_CONDITIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_other_conditions_are_another_table_and_refused_in_one_plot(run: Record, name: str, sections: dict) -> None:
    other = changed(run, key="other", **sections)
    assert len(group_comparable([run, other, run])) == 2
    assert markdown([run, other]).count("| editor |") == 2
    titles = [line for line in markdown([run, other]).splitlines() if line.startswith("**")]
    assert name in ("weights", "preprocessing", "edited_groups") or len(set(titles)) == 2, "the title says what differs"
    with pytest.raises(UserError, match=f"not comparable: {name} is .* in one and .* in another"):
        check_comparable([run, other])
    if name == "seed":
        assert [len(line.runs) for line in lines([run, other])] == [2], "seeds are the repetitions of a line"
    else:
        with pytest.raises(UserError, match="not comparable"):
            lines([run, other])


@pytest.mark.parametrize(
    "sections",
    [
        {"editor": {"spec": "mine", "source_sha256": "0" * 64, "state_sha256": "1" * 64}},
        {"environment": {"commit": "0" * 40, "dirty": True, "device_name": "another processor"}},
        {"key": "0" * 64, "created": "2030-01-01T00:00:00+00:00"},
        {"base": {"name": "a/path/to/mini"}, "costs": {"fit_seconds": 9.0}},
    ],
    ids=lambda sections: ",".join(sections),
)
def test_editor_code_commit_and_machine_are_what_is_compared(run: Record, sections: dict) -> None:
    assert changed(run, **sections).comparable_key() == run.comparable_key()


def test_a_build_of_one_release_is_that_release(run: Record) -> None:
    versions = {**run.environment.versions, "torch": "2.15.0+cpu", "pandas": "0.1", "python": "3.12.1"}
    assert changed(run, environment={"versions": versions}).comparable_key() == run.comparable_key()


def test_committed_records_are_read_and_stand_in_one_table() -> None:
    runs = find_runs([RESULTS / "mini-1", RESULTS / "mini-1-lr"])
    assert len(runs) == sum(len(list((RESULTS / name).rglob("record.json"))) for name in ("mini-1", "mini-1-lr")) > 100
    assert len(group_comparable(record for _, record in runs)) == 1
    assert {record.protocol.scoring for _, record in runs} == {SCORING}
    assert {record.base.identity for _, record in runs} == {load_base("mini").identity}


def test_titles_say_which_groups_and_how_many_samples(run: Record) -> None:
    assert "90 drawn editing samples from 18 groups, 1 an edit, seed 0," in heading(
        changed(run, protocol={"limit": 90})
    )
    chosen = changed(run, protocol={"edited_groups": ["890-430", "933-923"], "samples_per_edit": 3})
    assert "all 418 editing samples from 2 of 18 groups (890-430, 933-923), 3 an edit, seed 0," in heading(chosen)


def test_a_backup_is_no_second_run(run: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("out/run", "out/backup/run", "out/a/b/c"):
        run.write(tmp_path / folder / "record.json")
    changed(run, key="another").write(tmp_path / "out/repeated/record.json")
    runs = find_runs([tmp_path / "out", tmp_path / "out" / "backup"])
    assert [path.parent.name for path, _ in runs] == ["repeated", "run"]
    (tmp_path / "out/repeated/record.json").unlink()
    cli.run(tables.main, [str(tmp_path / "out")])
    assert capsys.readouterr().out.count("| ft |") == 1
    cli.run(analyse.main, ["curve", str(tmp_path / "out"), "--out", str(tmp_path / "curve")], about="analyses")
    assert pd.read_csv(tmp_path / "curve" / "curve.csv")["runs"].tolist() == [1]


@pytest.mark.parametrize("protocol", [{"device": "cuda"}, {"score_batch": 8}], ids=["device", "batch"])
def test_the_same_outcomes_under_other_conditions_are_no_copy(
    run: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: dict
) -> None:
    run.write(tmp_path / "run" / "record.json")
    changed(run, protocol=protocol).write(tmp_path / "other" / "record.json")
    cli.run(tables.main, [str(tmp_path)])
    assert capsys.readouterr().out.count("| editor |") == 2


def test_runs_under_other_conditions_are_no_analysis_of_swaps(
    run: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, seed in enumerate((0, 1)):
        changed(run, key=str(seed), protocol={"seed": seed}).write(tmp_path / str(number) / "record.json")
    with pytest.raises(SystemExit) as stop:
        cli.run(analyse.main, ["swaps", str(tmp_path), "--out", str(tmp_path / "out")], about="analyses")
    assert stop.value.code == 2 and "not comparable: seed is 0 in one and 1" in capsys.readouterr().err


def test_the_same_base_must_answer_the_same(run: Record) -> None:
    """Answers to the probe are compared within a thousandth, wherever two runs meet."""
    probe = {388: 8.86, **{number: 7.0 - number / 10 for number in range(9)}}
    probed = changed(run, base={"identity": "a", "probe": probe})
    near = changed(probed, base={"probe": {**probe, 388: 8.861}})
    far = changed(probed, base={"probe": {**probe, 388: 8.9}})
    assert len(group_comparable([probed, near])) == 1
    for compare in (group_comparable, check_comparable):
        with pytest.raises(UserError, match="answers a fixed image otherwise"):
            compare([probed, near, far])
    assert len(group_comparable([run, probed])) == 2, "an old record has no probe, and is of no identity"
    half = [changed(other, protocol={"precision": "bfloat16"}) for other in (probed, far)]
    assert len(group_comparable(half)) == 1, "half precision rounds more coarsely"


def test_a_probe_comes_back_from_the_file_as_it_was(run: Record, tmp_path: Path) -> None:
    probed = changed(run, base={"probe": {3: 1.5, 7: -0.25}})
    probed.write(tmp_path / "record.json")
    assert record.read(tmp_path / "record.json") == probed
    assert json.loads((tmp_path / "record.json").read_text())["base"]["probe"] == {"3": 1.5, "7": -0.25}
