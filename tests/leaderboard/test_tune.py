"""Settings are chosen on dev data, by the stated rule, and land where the registry looks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark, load
from benchmark.models.load import BaseModel
from editors.core import registry
from editors.core.base import knob_of
from editors.core.registry import ChosenEditor
from leaderboard import tune
from leaderboard.judging import evaluate as judging
from leaderboard.judging.evaluate import Settings
from leaderboard.judging.judge import Judge
from leaderboard.records import record
from leaderboard.records.sections import Score


def test_the_best_of_those_that_succeed_is_chosen(tmp_path: Path, base: BaseModel, small_benchmark: Benchmark) -> None:
    chosen, tried = tune.choose_settings(
        "ft-l2", Judge(base, small_benchmark), Settings(), tmp_path, (1e-6, 1e-3, 4e-3)
    )
    rates, knobs = tried[:3], tried[3:]
    assert [row["config"]["lr"] for row in rates] == [1e-6, 1e-3, 4e-3]
    assert len(knobs) == 7 and {row["config"]["lr"] for row in knobs} == {chosen["lr"]}
    for rows, field in ((rates, "lr"), (knobs, "c")):
        enough = [row for row in rows if row["SR"] >= 0.95 * max(r["SR"] for r in rows)]
        best = max(enough, key=lambda row: row["GR"] + row["LR"])
        assert chosen[field] == best["config"][field]


SHARE = {"SR": 1.0, "LR": 0.5}


def scored(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, float]]) -> list[float]:
    """Let the trials of `ft-l2` score as in `rows`, in their order; the returned list collects their c."""
    penalties: list[float] = []

    def evaluate(trial, judge, settings, out, border) -> SimpleNamespace:
        penalties.append(trial.config.c)
        row = rows[len(penalties) - 1] if len(penalties) <= len(rows) else rows[-1]
        return SimpleNamespace(scores={name.lower(): Score(value=value) for name, value in row.items()})

    monkeypatch.setattr(tune, "evaluate", evaluate)
    return penalties


JUDGE = SimpleNamespace(base=SimpleNamespace(name="mini"))


def test_scores_are_compared_before_they_are_rounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, [{**SHARE, "GR": 0.50001}, {**SHARE, "GR": 0.50004}, {**SHARE, "GR": 0.50002}])
    assert tune.choose_settings("ft-l2", JUDGE, Settings(), tmp_path, (1e-3, 2e-3, 3e-3))[0]["lr"] == 2e-3


def test_the_rate_is_chosen_at_the_knobs_default_and_not_at_an_earlier_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry.choose("ft-l1", "mini").config.c != registry.choose("ft-l2", "").config.c
    penalties = scored(monkeypatch, [{**SHARE, "GR": 0.5}])
    tune.choose_settings("ft-l1", JUDGE, Settings(), tmp_path, (1e-3, 2e-3))
    assert penalties[:2] == [registry.choose("ft-l1", "").config.c] * 2


def test_where_no_rate_works_none_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, [{"SR": 0.0, "GR": 0.0, "LR": 1.0}])
    with pytest.raises(UserError, match="no edit succeeds at any lr of 1e-09, 1e-08"):
        tune.choose_settings("ft-l2", JUDGE, Settings(), tmp_path, (1e-9, 1e-8))


def test_further_rates_are_tried_until_the_best_is_between_close_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peak = 3e-2
    tried: list[float] = []

    def evaluate(trial, judge, settings, out, border) -> SimpleNamespace:
        tried.append(trial.config.lr)
        gr = 1 - abs(math.log(trial.config.lr / peak)) / 100
        return SimpleNamespace(scores={"sr": Score(value=1.0), "gr": Score(value=gr), "lr": Score(value=0.5)})

    monkeypatch.setattr(tune, "evaluate", evaluate)
    coarse = (2.5e-4, 1e-3, 4e-3)
    chosen, _ = tune.choose_settings("ft", JUDGE, Settings(), tmp_path, coarse, refine=True)
    assert tried == [*coarse, 1.6e-2, 6.4e-2, 8e-3, 3.2e-2] and chosen == {"lr": 3.2e-2}
    tried.clear()
    assert tune.choose_settings("ft", JUDGE, Settings(), tmp_path, coarse)[0] == {"lr": 4e-3} and len(tried) == 3


@pytest.mark.parametrize(
    ("rates", "best", "next_ones"),
    [
        ([1e-3], 1e-3, [2.5e-4, 4e-3]),
        ([1e-3, 4e-3], 1e-3, [2.5e-4]),
        ([2.5e-4, 1e-3, 4e-3], 1e-3, [5e-4, 2e-3]),
        ([5e-4, 1e-3, 4e-3], 1e-3, [2e-3]),
        ([4e-3, 5e-4, 1e-3, 2e-3], 1e-3, []),
    ],
)
def test_the_next_rates(rates: list[float], best: float, next_ones: list[float]) -> None:
    assert tune.next_rates(rates, best) == next_ones


@pytest.mark.parametrize(
    ("values", "best", "next_ones"),
    [
        ([0.25, 0.5, 0.75, 0.9, 0.95], 0.95, [0.967]),
        ([0.25, 0.5, 0.75, 0.9, 0.95], 0.9, []),
        ([1, 2, 4, 8, 16, 32], 32, [64]),
        ([1, 2, 4, 8, 16, 32], 1, [0]),
        ([0.0, 0.001, 0.005, 0.01], 0.01, [0.0163]),
        ([4.0, 0.25, 0.5, 1.0, 2.0], 0.25, [0.125]),
        ([0.5, 1.0], 1.0, []),
    ],
)
def test_the_next_knobs(values: list[float], best: float, next_ones: list[float]) -> None:
    assert tune.next_knobs(values, best) == next_ones


def test_knobs_go_on_beyond_an_end_as_far_as_the_editor_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = list(knob_of(registry.choose("ft-l2", "").config).sweep)
    at_rates = [{**SHARE, "GR": 0.5}] * 4  # three, and one below the first, which is as good as any

    def tried_when(gr: list[float]) -> tuple[list[float], float]:
        penalties = scored(monkeypatch, [*at_rates, *({**SHARE, "GR": value} for value in gr)])
        chosen, _ = tune.choose_settings("ft-l2", JUDGE, Settings(), tmp_path, (1e-3, 2e-3, 4e-3), refine=True)
        return penalties[4:], chosen["c"]

    assert tried_when([0.5] * 6 + [0.6, 0.55]) == ([*sweep, 0.2], 0.1)
    assert tried_when([0.5] * 6 + [0.6, 0.65, 0.1]) == ([*sweep, 0.2, 0.4], 0.2)
    assert tried_when([0.6] + [0.5] * 6) == (sweep, 0.0), "no editor takes a penalty below none"


def test_what_is_scored_is_refused() -> None:
    with pytest.raises(UserError, match="mini-dev"):
        tune.main(data="mini")
    with pytest.raises(UserError, match="real is what is scored; settings are chosen on real-dev"):
        tune.main(data="real")


def test_what_was_chosen_is_written_to_out_beside_what_is_there_and_printed_as_a_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packaged = registry.SETTINGS.read_bytes()
    (tmp_path / "settings.json").write_text(json.dumps({"mini": {"ft-l1": {"c": 1.0}}, "other": {}}))
    words = ["ft", "null-edit", "--limit", "1", "--rates", "0.0005", "--out", str(tmp_path)]
    run(tune.main, words)
    settings = {"ft-l1": {"c": 1.0}, "ft": {"lr": 0.0005}, "null-edit": {}}
    assert json.loads((tmp_path / "settings.json").read_text()) == {"mini": settings, "other": {}}
    tried = json.loads((tmp_path / "tuned" / "mini-ft.json").read_text())
    assert tried["chosen"] == {"lr": 0.0005} and tried["data"] == "mini-dev" and len(tried["tried"]) == 1
    lines = capsys.readouterr().out.splitlines()
    submit = f"python -m leaderboard.submit ft null-edit --base mini --settings {tmp_path / 'settings.json'}"
    assert lines[-1] == f"to use them: {submit}"
    assert "mini: ft:lr=0.0005" in lines and "mini: null-edit" in lines
    assert registry.SETTINGS.read_bytes() == packaged


@pytest.mark.parametrize("log", sorted((Path(registry.__file__).parent / "tuned").glob("*.json")), ids=lambda p: p.stem)
def test_committed_settings_are_what_was_chosen_on_dev_data(log: Path) -> None:
    log_fields = json.loads(log.read_text())
    settings = json.loads(registry.SETTINGS.read_text())
    base = max((name for name in settings if log.stem.startswith(f"{name}-")), key=len)
    assert settings[base][log.stem.removeprefix(f"{base}-")] == log_fields["chosen"]
    assert log_fields["data"] == {"mini": "mini-dev", "dinov2-mini": "real-dev"}[base]
    dev, scored = load(log_fields["data"]), load(log_fields["data"].removesuffix("-dev"))
    assert set(dev.edit.table["drawing"]).isdisjoint(scored.edit.table["drawing"])
    assert {"SR", "GR", "LR", "config"} <= log_fields["tried"][0].keys()


def test_a_stopped_choice_goes_on_with_the_trials_that_are_done(
    tmp_path: Path, base: BaseModel, small_benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, rates = Judge(base, small_benchmark), (1e-3, 2e-3, 4e-3)
    begun: list[bool] = []  # for each trial, whether its record was there

    def evaluate(trial: ChosenEditor, judge: Judge, settings: Settings, out: Path, border: None) -> record.Record:
        begun.append((out / "record.json").is_file())
        if stop_at == len(begun):
            raise KeyboardInterrupt
        return judging.evaluate(trial, judge, settings, out, progress=False)

    monkeypatch.setattr(tune, "evaluate", evaluate)
    stop_at = 3
    with pytest.raises(KeyboardInterrupt):
        tune.choose_settings("ft", judge, Settings(limit=2), tmp_path / "stopped", rates)
    stop_at = 0
    resumed = tune.choose_settings("ft", judge, Settings(limit=2), tmp_path / "stopped", rates)
    assert begun == [False, False, False, True, True, False]
    assert resumed == tune.choose_settings("ft", judge, Settings(limit=2), tmp_path / "whole", rates)
