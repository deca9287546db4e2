"""Runs end to end on a small random ViT: fast path and slow path, resume, the base left alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark, load
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from editors.core.base import Editor, TrainingImages
from editors.core.edit import WeightEdit
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings, chosen_samples, edit_seed
from leaderboard.records import outcomes, record
from tests.conftest import PREPROCESSING, small_vit
from tests.editors.conftest import add_untrained

EDITORS = ("ft", "random-mask", "hypernetwork")  # tests/editors/test_contract.py has them all, edit by edit


@pytest.fixture(autouse=True)
def untrained_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Editors that need a trained network find an untrained one for the small base among the shipped."""
    vit = small_vit()
    add_untrained(BaseModel("small", vit, PREPROCESSING, hash_weights(vit)), tmp_path / "shipped", monkeypatch)


def quick(spec: str) -> ChosenEditor:
    """An editor with few, large steps, so that predictions do change."""
    return choose(f"{spec}:lr=0.002,max_steps=2", "small")


@pytest.fixture
def judge(base: BaseModel, small_benchmark: Benchmark) -> Judge:
    return Judge(base, small_benchmark, score_batch=5)


class AsModule(Editor):
    """The same edits as another editor, handed back as whole models."""

    inner: Editor

    def edit(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> nn.Module:
        edit = self.inner.edit_many(model, images[None], labels[None], [int(images.sum().abs() * 1000)])[0]
        edited = copy.deepcopy(model)
        edited.load_state_dict({**model.state_dict(), **edit.overrides})
        return self.finish(edited)

    def finish(self, edited: nn.Module) -> nn.Module:
        return edited


class Hooked(AsModule):
    """Equal weights, but a hook adds to the logits: only its outputs tell."""

    def finish(self, edited: nn.Module) -> nn.Module:
        edited.head.register_forward_hook(lambda module, args, output: output + torch.arange(output.shape[-1]) % 7)
        return edited


class OtherActivation(AsModule):
    """Equal weights, but one block has another activation function."""

    def finish(self, edited: nn.Module) -> nn.Module:
        edited.blocks[2].mlp.act = nn.ReLU()
        return edited


class OtherPooling(AsModule):
    """Equal weights, types and printed settings, no hook: a plain attribute differs, and only outputs tell."""

    def finish(self, edited: nn.Module) -> nn.Module:
        edited.global_pool = "avg"
        return edited


def run(judge: Judge, chosen: ChosenEditor, folder: Path, **settings) -> tuple[record.Record, outcomes.Outcomes]:
    result = evaluate(chosen, judge, Settings(**settings), folder, progress=False)
    return result, outcomes.read(folder)


def called(judge: Judge, kind: type[AsModule], spec: str, folder: Path) -> outcomes.Outcomes:
    kind = type(kind.__name__, (kind,), {"inner": quick(spec).make(), "__module__": __name__})
    return run(judge, ChosenEditor(kind.__name__, kind, kind.Config()), folder)[1]


def predictions(run_outcomes: outcomes.Outcomes) -> list[list[int]]:
    return [
        [*group, *locality]
        for group, locality in zip(
            run_outcomes.edits["group_predictions"], run_outcomes.edits["locality_predictions"], strict=True
        )
    ]


@pytest.mark.parametrize("spec", EDITORS)
def test_fast_path_equals_full_forward_of_the_edited_model(judge: Judge, spec: str, tmp_path: Path) -> None:
    """Against the reference: load the overrides into a copy and run it on every image."""
    _, run_outcomes = run(judge, quick(spec), tmp_path / "run")
    assert set(run_outcomes.edits["scored"]) == {"tail"}
    editor, bench, changed = quick(spec).make(), judge.benchmark, 0
    for row in run_outcomes.edits.to_dict("records"):
        sample = bench.edit.table.iloc[row["sample"]]
        image = bench.edit.images(judge.base.preprocessing, [row["sample"]])
        edit = editor.edit_many(
            judge.base.module, image[None], torch.tensor([[sample["label"]]]), [edit_seed(0, sample["sha256"])]
        )[0]
        plain = copy.deepcopy(judge.base.module)
        plain.load_state_dict({**plain.state_dict(), **edit.overrides})
        members = bench.members(row["group_id"])
        for images, fast in (
            (bench.edit.images(judge.base.preprocessing, members.tolist()), row["group_predictions"]),
            (bench.locality.images(judge.base.preprocessing), row["locality_predictions"]),
        ):
            logits = plain(images)
            margin = logits.topk(2).values.diff().abs().squeeze(-1) > 1e-4
            assert np.array_equal(logits.argmax(-1)[margin], fast[margin.numpy()])
        changed += int((row["locality_predictions"] != judge.base_locality).sum())
    assert changed > 0, "nothing was edited, so nothing was tested"


def test_a_returned_module_is_scored_by_its_weights(judge: Judge, tmp_path: Path) -> None:
    fast = run(judge, quick("ft"), tmp_path / "fast", edit_batch=1)[1]
    module = called(judge, AsModule, "ft", tmp_path / "module")
    assert set(module.edits["scored"]) == {"tail"}
    assert predictions(module) == predictions(fast)


@pytest.mark.parametrize("kind", [Hooked, OtherActivation, OtherPooling])
def test_a_module_that_is_more_than_its_weights_is_called(judge: Judge, kind: type[AsModule], tmp_path: Path) -> None:
    run_outcomes = called(judge, kind, "ft", tmp_path / "run")
    assert set(run_outcomes.edits["scored"]) == {"called"}
    plain = called(judge, AsModule, "ft", tmp_path / "plain")
    assert predictions(run_outcomes) != predictions(plain)
    # and rightly: the module itself, on the images of the first edit's group
    kind = type(kind.__name__, (kind,), {"inner": quick("ft").make()})
    row = run_outcomes.edits.iloc[0]
    bench = judge.benchmark
    image = bench.edit.images(judge.base.preprocessing, [row["sample"]])
    module = kind().edit(judge.base.module, image, torch.tensor([bench.edit.labels[row["sample"]]]))
    images = bench.edit.images(judge.base.preprocessing, bench.members(row["group_id"]).tolist())
    assert np.array_equal(module(images).argmax(-1), row["group_predictions"])


def test_null_edit_changes_nothing(judge: Judge, tmp_path: Path) -> None:
    result, _ = run(judge, choose("null-edit", "small"), tmp_path / "run")
    assert result.scores["sr"].value == 0
    assert result.scores["lr"].value == pytest.approx(result.base.locality_accuracy)
    assert result.scores["lr_agreement"].value == 1
    assert result.noise_floor.flips == 0
    assert result.noise_floor.images == len(judge.benchmark.members("1-2")) + 12


class Breaks(Editor):
    """Gives weights that are not finite on every other call, and fails outright on every third."""

    calls = 0

    def edit(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> WeightEdit:
        type(self).calls += 1
        if self.calls % 3 == 0:
            raise FloatingPointError("overflow")
        weight = model.head.weight.clone()
        if self.calls % 2 == 0:
            weight[0, 0] = torch.nan
        return WeightEdit({"head.weight": weight})


def test_failed_edits_count_and_are_not_dropped(judge: Judge, tmp_path: Path) -> None:
    result, rows = run(judge, ChosenEditor("breaks", Breaks, Breaks.Config()), tmp_path / "run")
    total = len(judge.benchmark.edit)
    failed = rows.edits["failure"].notna()
    assert result.outcomes.edits == total
    assert result.outcomes.failed == failed.sum() > 0
    overflows = total // 3
    expected = {"head.weight is not finite": int(failed.sum()) - overflows, "FloatingPointError: overflow": overflows}
    assert result.outcomes.failures == expected, "each reason is counted"
    assert all((p == -1).all() for p in rows.edits.loc[failed, "locality_predictions"])
    assert result.scores["lr_agreement"].value == pytest.approx(1 - failed.mean())


class Damages(Editor):
    def edit(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> WeightEdit:
        model.head.bias.data[3] += 1
        return WeightEdit({"head.bias": model.head.bias.clone()})


def test_an_editor_that_changes_the_base_is_caught(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="changed the base model"):
        run(judge, ChosenEditor("damages", Damages, Damages.Config()), tmp_path / "run")


def test_limit_spreads_over_groups_and_is_judged_on_everything(judge: Judge, tmp_path: Path) -> None:
    bench = judge.benchmark
    rows = chosen_samples(bench, Settings(seed=3, limit=5))
    assert len(rows) == 5
    assert set(bench.edit.table["group_id"].iloc[rows]) == set(bench.groups)
    assert np.array_equal(rows, chosen_samples(bench, Settings(seed=3, limit=5)))
    _, run_outcomes = run(judge, quick("ft"), tmp_path / "run", limit=5)
    sizes = {group: len(bench.members(group)) for group in bench.groups}
    assert [len(p) for p in run_outcomes.edits["group_predictions"]] == [
        sizes[g] for g in run_outcomes.edits["group_id"]
    ]
    assert {len(p) for p in run_outcomes.edits["locality_predictions"]} == {12}
    with pytest.raises(UserError, match="1 or more"):
        chosen_samples(bench, Settings(limit=0))


def test_only_some_groups_by_id_or_name(judge: Judge) -> None:
    bench = judge.benchmark
    rows = chosen_samples(bench, Settings(groups=("line", "1-2")))
    assert rows.tolist() == [*bench.members("1-2"), *bench.members("line")]
    with pytest.raises(UserError, match='did you mean "line"'):
        chosen_samples(bench, Settings(groups=("lime",)))


def test_batching_and_limits_leave_an_edit_as_it_is(judge: Judge, tmp_path: Path) -> None:
    """The same masks and predictions, whatever the batch and whichever other samples are edited."""
    whole = run(judge, quick("random-mask"), tmp_path / "whole", edit_batch=4)[1].edits.set_index("sample")
    drawn = run(judge, quick("random-mask"), tmp_path / "some", edit_batch=1, limit=5)[1].edits.set_index("sample")
    for sample, row in drawn.iterrows():
        assert np.array_equal(row["locality_predictions"], whole.loc[sample, "locality_predictions"])


def test_another_run_in_the_folder_is_refused(judge: Judge, tmp_path: Path) -> None:
    run(judge, quick("ft"), tmp_path / "run", limit=2)
    with pytest.raises(UserError, match=r"holds another run \(its protocol.limit is 2, yours is 3\)"):
        run(judge, quick("ft"), tmp_path / "run", limit=3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds thesis\.txt, which no run made"):
        run(judge, quick("ft"), tmp_path / "full")


def test_interpolation_scores_the_model_in_between(judge: Judge, tmp_path: Path) -> None:
    """At 0 the base, at 1 the edit; the run says so, and what has no weights in between ends in one line."""
    chosen = quick("ft")
    base, half, whole = (
        run(judge, replace(chosen, interpolate=alpha), tmp_path / str(alpha), limit=4) for alpha in (0.0, 0.5, 1.0)
    )
    assert base[0].scores["lr_agreement"].value == 1 and base[0].scores["sr"].value == 0
    assert predictions(whole[1]) == predictions(run(judge, chosen, tmp_path / "ft", limit=4)[1])
    assert half[0].editor.interpolate == 0.5 and half[0].editor.spec == "ft:lr=0.002,max_steps=2,interpolate=0.5"
    assert choose(half[0].editor.spec, "small") == replace(chosen, interpolate=0.5)
    assert len({result.key for result, _ in (base, half, whole)}) == 3
    kind = type("Hooked", (Hooked,), {"inner": chosen.make(), "__module__": __name__})
    with pytest.raises(UserError, match="nothing to interpolate"):
        run(judge, ChosenEditor("hooked", kind, kind.Config(), interpolate=0.5), tmp_path / "hooked", limit=2)


def test_slow_bases_are_refused_before_anything_runs(small_benchmark: Benchmark) -> None:
    averaging = small_vit(class_token=False, global_pool="avg")
    with pytest.raises(UserError, match="class token"):
        Judge(BaseModel("avg", averaging, PREPROCESSING, ""), small_benchmark)


class Learns(Editor):
    """Fits to the training images: their mean becomes part of its state."""

    mean = torch.zeros(1)

    def fit(self, model: nn.Module, training: TrainingImages) -> None:
        self.mean = training.images(range(len(training))).mean()[None]
        assert len(training.labels) == len(training) == 6

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"mean": self.mean}

    def edit(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> WeightEdit:
        return WeightEdit({"head.bias": model.head.bias + self.mean})


def test_fit_gets_training_images_and_its_state_is_recorded(judge: Judge, tmp_path: Path) -> None:
    result, _ = run(judge, ChosenEditor("learns", Learns, Learns.Config()), tmp_path / "run", limit=2)
    assert result.editor.state_sha256 is not None
    assert run(judge, quick("ft"), tmp_path / "ft", limit=2)[0].editor.state_sha256 is None


def test_data_without_training_images_stops_only_who_needs_them(
    base: BaseModel, small_data: Path, tmp_path: Path
) -> None:
    (small_data / "data" / "train-00000-of-00001.parquet").unlink()
    judge = Judge(base, load(str(small_data)))
    run(judge, quick("hypernetwork"), tmp_path / "hypernetwork", limit=2)
    with pytest.raises(UserError, match="train-"):
        run(judge, ChosenEditor("learns", Learns, Learns.Config()), tmp_path / "learns", limit=2)
