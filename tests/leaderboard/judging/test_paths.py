"""Several edits at once against one by one: in float64 the same logits, in float32 the same predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
import torch

from benchmark.data.dataset import Benchmark
from benchmark.models.family import Model
from benchmark.models.load import BaseModel
from benchmark.models.vit import Cut, ffn_matrices, forward, forward_prefix, forward_tail
from editors.core.edit import FailedEdit, ModuleEdit, TailEdit, WeightEdit
from leaderboard.judging import judge as judging
from leaderboard.judging.judge import Judge
from leaderboard.judging.paths import likeness, path_of
from leaderboard.judging.two_pass import TwoPass
from tests.conftest import small_vit

Make: TypeAlias = Callable[[Model, int], WeightEdit]
LAST = "blocks.5.attn.qkv"
MARGIN = 1e-4


def changed(model: Model, *names: str) -> WeightEdit:
    weights = {name: model.get_parameter(name) for name in names}
    return WeightEdit({name: weight + 0.1 * torch.randn_like(weight) for name, weight in weights.items()})


def dense(model: Model, number: int) -> WeightEdit:
    return changed(model, *ffn_matrices(model))


def masked(model: Model, number: int) -> WeightEdit:
    """A few units of each matrix, of each edit another number of them."""
    overrides = {name: model.get_parameter(name).clone() for name in ffn_matrices(model)}
    for name, value in overrides.items():
        units, value = torch.randperm(96)[: 3 + 4 * number], value if ".fc1." in name else value.mT
        value[units] += torch.randn(len(units), 24, dtype=value.dtype)
    return WeightEdit(overrides)


def mixed(model: Model, number: int) -> WeightEdit:
    """The first with a mask, the others whole."""
    return dense(model, number) if number else masked(model, number)


def attention_and_head(model: Model, number: int) -> WeightEdit:
    return changed(model, f"{LAST}.weight", f"{LAST}.bias", "blocks.4.norm1.weight", "norm.bias", "head.weight")


def wider(model: Model, number: int) -> WeightEdit:
    """A neuron more, as T-Patcher adds it."""
    ffn, mlp = "blocks.5.mlp", model.blocks[5].mlp
    column = torch.randn(24, 1, dtype=mlp.fc2.weight.dtype)
    return WeightEdit(
        {
            f"{ffn}.fc1.weight": torch.cat([mlp.fc1.weight, column.T]),
            f"{ffn}.fc1.bias": torch.cat([mlp.fc1.bias, column[0]]),
            f"{ffn}.fc2.weight": torch.cat([mlp.fc2.weight, column], dim=1),
        }
    )


def nothing(model: Model, number: int) -> WeightEdit:
    return WeightEdit({})


@pytest.mark.parametrize("make", [dense, masked, mixed, attention_and_head, wider])
def test_edits_at_once_have_the_logits_of_each_model_in_full(make: Make) -> None:
    model = small_vit(dtype=torch.float64, init_values=0.5)
    edits = [make(model, number) for number in range(3)]
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    path = path_of(model, edits)
    assert path.cut is not None and path.forward is not None and path.axes == (3,)
    tokens = forward_prefix(model, images, path.cut)
    assert path.both_sides == (make is masked)
    if path.both_sides:
        tokens = torch.stack([tokens, forward_prefix(model, images, Cut(path.cut.block + 1))], dim=1)
    logits = path.forward(tokens)
    for edit, own in zip(edits, logits, strict=True):
        torch.testing.assert_close(own, forward(model, images, edit.overrides))
    assert (logits[0] - logits[1]).abs().max() > 1e-3


@pytest.mark.parametrize("make", [dense, masked, mixed, attention_and_head, wider, nothing])
def test_predictions_at_once_are_those_of_one_by_one(make: Make, base: BaseModel, small_benchmark: Benchmark) -> None:
    model, judge = base.module, Judge(base, small_benchmark, score_batch=5)
    edits = [make(model, number) for number in range(3)]
    benchmark = judge.benchmark
    images = {
        "group": benchmark.edit.images(base.preprocessing, benchmark.members("line").tolist()),
        "locality": benchmark.locality.images(base.preprocessing),
    }
    at_once = judge.predict_many(edits, "line")
    assert len({judge.likeness(edit) for edit in edits}) == 1 and len(at_once) == 3
    for edit, prediction in zip(edits, at_once, strict=True):
        assert prediction.path == judge.predict(edit, "line").path == "tail"
        for name, classes in (("group", prediction.group), ("locality", prediction.locality)):
            first, second = forward(model, images[name], edit.overrides).topk(2).values.T
            sure = (first - second > MARGIN).numpy()
            own = getattr(judge.predict(edit, "line"), name)
            assert classes.dtype == own.dtype and np.array_equal(classes[sure], own[sure]) and sure.any()


def test_only_edits_of_the_same_weights_behind_a_cut_are_alike(base: BaseModel, small_benchmark: Benchmark) -> None:
    model = base.module
    first = likeness(model, dense(model, 0))
    assert first and first == likeness(model, masked(model, 1)) != likeness(model, attention_and_head(model, 0))
    overrides = wider(model, 0).overrides
    twice = {name: torch.cat([value] * 2, dim=int(".fc2." in name)) for name, value in overrides.items()}
    assert likeness(model, WeightEdit(overrides)) != likeness(model, WeightEdit(twice)), "of other shapes"
    alone = [
        changed(model, "patch_embed.proj.weight"),
        TailEdit(lambda tokens: forward_tail(model, tokens, Cut(2), {}), Cut(2)),
        ModuleEdit(model),
        FailedEdit("no reason"),
    ]
    assert not any(likeness(model, edit) for edit in alone)
    assert not Judge(base, small_benchmark, two_pass=TwoPass()).likeness(dense(model, 0))


def test_a_model_that_is_not_finite_has_no_prediction_and_the_others_at_once_have_theirs(judge: Judge) -> None:
    model = judge.base.module
    edits = [changed(model, "head.weight", "head.bias") for _ in range(3)]
    edits[1].overrides["head.bias"][7] = torch.inf
    at_once = judge.predict_many(edits, "line")
    assert set(at_once[1].locality) == set(at_once[1].group) == {-1}
    for number in (0, 2):
        assert np.array_equal(at_once[number].locality, judge.predict(edits[number], "line").locality)


def test_what_does_not_fit_into_memory_is_judged_on_fewer_images_together(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, logits, sizes = judge.base.module, judging.Judge._logits, list[int]()
    edits = [dense(model, number) for number in range(3)]
    expected = [judge.predict(edit, "line") for edit in edits]

    def limited(self: Judge, path: judging.Path, batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(batch))
        return logits(self, path, batch)

    monkeypatch.setattr(judging.Judge, "_logits", limited)
    for prediction, own in zip(judge.predict_many(edits, "line"), expected, strict=True):
        assert all(map(np.array_equal, prediction, own))
    assert sum(sizes) == 5 + 12, "three edits at once"
