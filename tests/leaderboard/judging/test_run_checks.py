"""A run measures an editor, and refuses one that breaks the rules."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.base import Editor, TrainingImages
from editors.core.edit import Edit, WeightEdit
from editors.core.registry import ChosenEditor
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.run_spec import slug
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes, record

Run = Callable[..., tuple[record.Record, outcomes.Outcomes]]


class Favours(Editor):
    """Adds a little to the logit of class 3, in a number of steps that differs from edit to edit."""

    def fit(self, model: nn.Module, training: TrainingImages) -> None:
        time.sleep(0.05)

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        raise NotImplementedError

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        bias = model.head.bias.clone()
        bias[3] += 0.01
        return [WeightEdit({"head.bias": bias}, steps=seed % 100) for seed in seeds]


class Drops(Favours):
    """Forgets one of the failures."""

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        return super().edit_many(model, images, labels, seeds)[1:]


class Borrows(Favours):
    """Changes the base in one batch and takes it back in the next."""

    borrowed = 1

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        model.head.bias.data[3] += self.borrowed
        self.borrowed *= -1
        return super().edit_many(model, images, labels, seeds)


class Sleeps(Favours):
    """Takes a fifth of a second a batch, however many failures are in it."""

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        time.sleep(0.2)
        return super().edit_many(model, images, labels, seeds)


class Replaces(Favours):
    """Hands back a module whose head is of another type, which is more than its weights."""

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[nn.Module]:
        edited = copy.deepcopy(model)
        edited.head = nn.Sequential(edited.head, nn.Softplus())
        return [edited for _ in seeds]


@pytest.fixture
def run(base: BaseModel, small_benchmark: Benchmark, tmp_path: Path) -> Run:
    """Run an editor on everything; its record and its outcomes."""
    judge = Judge(base, small_benchmark)

    def run(
        editor: type[Editor], interpolate: float = 1.0, folder: Path | None = None, **settings
    ) -> tuple[record.Record, outcomes.Outcomes]:
        chosen = replace(ChosenEditor(editor.__name__, editor, editor.Config()), interpolate=interpolate)
        folder = folder or tmp_path / f"{editor.__name__} {interpolate}"
        return evaluate(chosen, judge, Settings(**settings), folder, progress=False), outcomes.read(folder)

    return run


def test_steps_and_the_time_of_the_fit_are_the_editors_own(run: Run) -> None:
    result, kept = run(Favours)
    assert kept.edits["steps"].nunique() > 3 and (kept.edits["steps"] >= 0).all()
    assert result.outcomes.median_steps == kept.edits["steps"].median()
    assert 0.05 <= result.costs.fit_seconds < 60


def test_the_time_of_a_batch_is_shared_among_its_edits(run: Run) -> None:
    start = time.perf_counter()
    _, kept = run(Sleeps, edit_batch=13)
    assert len(kept.edits) == 13 and kept.edits["seconds"].nunique() == 1
    assert 0.2 <= kept.edits["seconds"].sum() < time.perf_counter() - start


def test_weights_far_beyond_the_edit_are_scored_where_that_is_asked_for(run: Run) -> None:
    _, kept = run(Favours)
    _, beyond = run(Favours, interpolate=1e6)
    assert any((predictions != 3).any() for predictions in kept.edits["locality_predictions"])
    assert all((predictions == 3).all() for predictions in beyond.edits["locality_predictions"])


def test_an_edit_that_is_missing_ends_the_run(run: Run) -> None:
    with pytest.raises(UserError, match="Drops: edit_many returned 12 edits for 13 samples"):
        run(Drops, edit_batch=13)


def test_a_base_that_is_changed_is_noticed_though_it_is_mended_afterwards(run: Run) -> None:
    with pytest.raises(UserError, match="changed the base model"):
        run(Borrows, edit_batch=7)


def test_models_that_were_called_and_scores_with_their_intervals_stand_in_the_record(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "noise_floor", lambda self: (3, 27))
    result, kept = run(Replaces, limit=5)
    assert set(kept.edits["scored"]) == {"called"} and result.outcomes.called == result.outcomes.edits == 5
    assert (result.noise_floor.flips, result.noise_floor.images) == (3, 27)
    agreement = result.scores["lr_agreement"]
    assert agreement.value == 1, "softplus keeps the order of the logits"
    half_changed = run(Favours, interpolate=1920)[0].scores["lr_agreement"]
    assert 0 < half_changed.low < half_changed.value < half_changed.high < 1
    assert result.scores["gr_released"].low is None is result.scores["lr_groups"].high


def test_another_editor_or_strength_does_not_go_on_in_the_folder(run: Run, tmp_path: Path) -> None:
    first = run(Favours, folder=tmp_path / "run", limit=2)[0]
    assert run(Favours, folder=tmp_path / "run", limit=2)[0] == first
    for other in ({"editor": Sleeps}, {"editor": Favours, "interpolate": 0.5}):
        with pytest.raises(UserError, match="another run"):
            run(**other, folder=tmp_path / "run", limit=2)


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), RuntimeError("x"), AssertionError("x")])
def test_an_editors_bug_ends_the_run_in_one_line_that_names_the_sample(
    run: Run, small_benchmark: Benchmark, error: Exception
) -> None:
    def edit_many(*_: object) -> list[Edit]:
        raise error

    sample = small_benchmark.edit.table["sha256"].iloc[0][:12]
    with pytest.raises(UserError, match=f"Buggy broke at sample {sample}: {type(error).__name__}: "):
        run(type("Buggy", (Favours,), {"edit_many": edit_many, "__module__": __name__}))


def test_a_full_memory_is_no_bug_of_the_editor(run: Run) -> None:
    def edit_many(*_: object) -> list[Edit]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        run(type("Greedy", (Favours,), {"edit_many": edit_many, "__module__": __name__}))


def test_a_runs_folder_is_one_folder_with_a_plain_name() -> None:
    spec = "hypernetwork:checkpoint=out/my net (2).safetensors,sparsity=0.5"
    assert slug(spec) == "hypernetwork-checkpoint=out-my-net--2-.safetensors-sparsity=0.5"
    assert len(slug("ü" * 300).encode()) == 100 and not slug("../mine.py:Mine").startswith(".")
