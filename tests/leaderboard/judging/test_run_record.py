"""All that a run was given stands in its record, and each edit has its seed from the run's seed and its sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.base import Editor
from editors.core.edit import WeightEdit
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings, edit_seed, with_partners
from leaderboard.records import outcomes, record


def test_the_record_names_everything_that_was_asked_for(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path
) -> None:
    judge = Judge(base, small_benchmark, score_batch=5)
    settings = Settings(seed=3, limit=4, groups=("line", "1-2"), edit_batch=2, samples_per_edit=2)
    chosen = choose("ft-l2:lr=0.002,max_steps=2,c=0.1", "small")
    result = evaluate(chosen, judge, settings, tmp_path / "run", progress=False)
    assert result.protocol.model_dump() == {
        "version": record.PROTOCOL,
        "scoring": record.SCORING,
        "precision": "float32",
        "device": "cpu",
        "seed": 3,
        "limit": 4,
        "edited_groups": ["1-2", "line"],  # in the data's order, so that a run has one name
        "edit_batch": 2,
        "score_batch": 5,
        "samples_per_edit": 2,
        "in_process": True,
        "edit_timeout": None,
    }
    data = result.data
    assert (data.groups, data.editing_samples, data.locality_images) == (4, 13, 12)
    assert (data.name, data.version) == ("noise", "local")
    assert data.fingerprint == judge.benchmark.fingerprint and data.kept == judge.benchmark.kept_counts
    assert (result.base.name, result.base.weights_sha256) == ("small", base.weights_sha256)
    assert result.base.preprocessing == base.preprocessing.to_dict()
    editor = result.editor
    assert (editor.name, editor.spec) == ("ft-l2", "ft-l2:lr=0.002,max_steps=2,c=0.1")
    assert (editor.knob, editor.config) == ("c", {"lr": 0.002, "max_steps": 2, "c": 0.1})
    edits = outcomes.read(tmp_path / "run").edits
    assert set(edits["group_id"]) == {"line", "1-2"}
    assert (result.outcomes.edits, result.outcomes.failed, result.outcomes.called) == (4, 0, 0)
    assert result.outcomes.median_steps == np.median(edits["steps"])
    assert result.costs.median_edit_seconds == np.median(edits["seconds"])
    assert result.costs.median_score_seconds == np.median(edits["score_seconds"])
    assert record.read(tmp_path / "run" / "record.json") == result


@pytest.mark.parametrize(
    "other",
    [
        Settings(limit=2, groups=("1-2",)),
        Settings(limit=2, seed=1, groups=("line",)),
        Settings(limit=2, groups=("line",), edit_batch=1),
        Settings(limit=2, groups=("line",), samples_per_edit=2),
        Settings(limit=3, groups=("line",)),
    ],
    ids=["groups", "seed", "batch", "samples an edit", "limit"],
)
def test_a_run_that_was_asked_for_anything_else_does_not_go_on_in_its_folder(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, other: Settings
) -> None:
    judge, chosen = Judge(base, small_benchmark), choose("null-edit", "small")
    settings = Settings(limit=2, groups=("line",))
    first = evaluate(chosen, judge, settings, tmp_path / "run", progress=False)
    assert evaluate(chosen, judge, settings, tmp_path / "run", progress=False) == first
    with pytest.raises(UserError, match="another run"):
        evaluate(chosen, judge, other, tmp_path / "run", progress=False)


def test_seeds_are_the_first_four_bytes_of_a_sha256() -> None:
    """By ``printf '%s' '0 hash-a' | sha256sum``."""
    assert edit_seed(0, "hash-a") == 4262105441
    assert edit_seed(7, "hash-a") == 1124230946
    assert edit_seed(1234567890123, "hash-b") == 2635314541


class Listens(Editor):
    """Keeps the seeds it is given."""

    seeds: list[int]

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> WeightEdit:
        raise NotImplementedError

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[WeightEdit]:
        type(self).seeds += seeds
        return [WeightEdit({"head.bias": model.head.bias}) for _ in seeds]


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("seed", [0, 7])
def test_each_edit_is_seeded_by_the_run_and_its_own_sample(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, seed: int, batch: int
) -> None:
    Listens.seeds = []
    judge, chosen = Judge(base, small_benchmark), ChosenEditor("listens", Listens, Listens.Config())
    settings = Settings(seed=seed, edit_batch=batch, samples_per_edit=2)
    evaluate(chosen, judge, settings, tmp_path / "run", progress=False)
    texts = [f"{seed} {sha256}" for sha256 in judge.benchmark.edit.table["sha256"]]
    assert Listens.seeds == [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]


def test_partners_are_drawn_by_the_same_seed(small_benchmark: Benchmark) -> None:
    """Without drawings in common: the sample, then numpy's permutation of the others of its group."""
    table = small_benchmark.edit.table
    table["drawing"] = table["sha256"]
    row = int(small_benchmark.members("line")[2])
    seed = int(hashlib.sha256(f"3 {table['sha256'].iloc[row]}".encode()).hexdigest()[:8], 16)
    others = [int(member) for member in small_benchmark.members("line") if member != row]
    expected = [row, *np.random.default_rng(seed).permutation(others)]
    together = with_partners(small_benchmark, np.array([row]), Settings(seed=3, samples_per_edit=5))
    assert together.tolist() == [expected]


def test_a_fit_begins_with_the_runs_seed(base: BaseModel, small_benchmark: Benchmark, tmp_path: Path) -> None:
    drawn = []

    class Draws(Listens):
        seeds: list[int] = []  # noqa: RUF012

        def fit(self, model: nn.Module, pool: object) -> None:
            drawn.append(torch.rand(3).tolist())

    Draws.__module__ = __name__
    judge, chosen = Judge(base, small_benchmark), ChosenEditor("draws", Draws, Draws.Config())
    for number, seed in enumerate((7, 7, 8)):
        torch.manual_seed(number)
        evaluate(chosen, judge, Settings(seed=seed, limit=1), tmp_path / str(number), progress=False)
    assert drawn[0] == drawn[1] != drawn[2]
