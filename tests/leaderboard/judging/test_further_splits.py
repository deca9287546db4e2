"""Edits are judged on the class that they take from, and far from the boundary; runs without these splits stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.core.readers import Unreadable
from benchmark.data.dataset import Benchmark, load, read_split
from benchmark.data.training import training_images
from benchmark.models.load import BaseModel, load_base
from benchmark.models.vit import forward
from benchmark.predict.benchmark import predict_samples
from editors.core.edit import FailedEdit, ModuleEdit, WeightEdit
from editors.core.registry import choose
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes, record
from leaderboard.records.columns import PREDICTIONS
from leaderboard.records.runs import group_comparable
from leaderboard.scores import tables
from tests.conftest import rows_of, write_split

FT = "ft:lr=0.002,max_steps=2"
WITHOUT = 789  # a class that the base takes one sample for, and of which there are no images
EDITOR = """
import copy, torch
from editors import Editor
class Whole(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = copy.deepcopy(model)
    def forward(self, images):
        return self.model(images).roll(1, dims=-1)
class Keeps(Editor):
    def edit(self, model, images, labels):
        return Whole(model)
"""


@pytest.fixture
def further_data(small_data: Path, base: BaseModel, tmp_path: Path) -> Path:
    """The small data set with both further splits: images of noise, labelled by the base, but for one that is wrong."""
    rows = rows_of({(None, "x"): 60}, seed=9)
    write_split(tmp_path / "noise", "x", rows)
    labels = predict_samples(base, read_split(tmp_path / "noise", "x"), use_store=False)["base_label"].tolist()
    rows = [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]
    taken = [row for z, count in ((289, 5), (685, 4)) for row in [row for row in rows if row["label"] == z][:count]]
    far = [row for row in rows if row not in taken][:7]
    write_split(small_data / "data", "locality_taken", [*taken[::-1], {**rows[-1], "label": WITHOUT}])
    write_split(small_data / "data", "locality_far", far)
    return small_data


def plainly(base: BaseModel, edit: WeightEdit, benchmark: Benchmark, split: str, rows: list[int]) -> list[int]:
    with torch.no_grad():
        images = benchmark.splits[split].images(base.preprocessing, rows)
        return [int(forward(base.module, image[None], edit.overrides).argmax()) for image in images]


def test_a_benchmark_has_what_the_base_gets_right_and_an_edit_is_judged_on_its_own_class(
    base: BaseModel, further_data: Path
) -> None:
    benchmark = load(str(further_data))
    judge = Judge(base, benchmark)
    taken, far = judge.benchmark.locality_taken, judge.benchmark.locality_far
    assert taken is not None and far is not None and (len(benchmark.locality_taken or ()), len(taken)) == (10, 9)
    assert WITHOUT not in taken.labels and len(far) == 7
    assert {*taken.table["sha256"], *far.table["sha256"]} <= judge.benchmark.scored_hashes
    edit = WeightEdit({"head.bias": base.module.head.bias + 3 * torch.randn(1000)})
    module = ModuleEdit(torch.nn.Sequential(base.module))
    for row in (0, 12, 5, 0):
        group_id, z = judge.benchmark.edit.table["group_id"][row], int(judge.base_edit[row])
        prediction = judge.predict(edit, group_id, z)
        own = np.flatnonzero(taken.labels == z).tolist()
        assert [*prediction.columns] == [*PREDICTIONS.values()]
        assert prediction.taken.tolist() == plainly(base, edit, judge.benchmark, "locality_taken", own)
        assert prediction.far.tolist() == plainly(base, edit, judge.benchmark, "locality_far", [*range(7)])
        assert judge.predict(module, group_id, z).taken.tolist() == [z] * len(own)
        assert judge.predict(FailedEdit("no"), group_id, z).taken.tolist() == [-1] * len(own)
    flips, images = judge.noise_floor()
    assert (flips, images) == (0, 4 + 12 + int((taken.labels == judge.base_edit[0]).sum()) + 7)


def test_edits_that_are_judged_at_once_are_each_judged_on_their_own_class(base: BaseModel, further_data: Path) -> None:
    judge = Judge(base, load(str(further_data)))
    name = "blocks.5.mlp.fc1.weight"
    weight = base.module.get_parameter(name)
    edits = [WeightEdit({name: weight + torch.randn_like(weight)}) for _ in range(4)]
    classes = [289, 685, WITHOUT, 289]
    at_once = judge.predict_many(edits, "line", classes)
    for edit, label, prediction in zip(edits, classes, at_once, strict=True):
        alone = judge.predict(edit, "line", label)
        assert prediction.path == alone.path and prediction.columns.keys() == alone.columns.keys()
        for column, predicted in alone.columns.items():
            assert np.array_equal(prediction.columns[column], predicted), column
    assert [len(prediction.taken) for prediction in at_once] == [5, 4, 0, 5]


def test_the_old_splits_of_a_run_come_out_as_without_the_new_ones(
    base: BaseModel, further_data: Path, tmp_path: Path
) -> None:
    whole = load(str(further_data))
    old = replace(whole, locality_taken=None, locality_far=None)
    assert old.fingerprint != whole.fingerprint
    for name, benchmark in (("whole", whole), ("old", old)):
        evaluate(choose(FT, "small"), Judge(base, benchmark), Settings(), tmp_path / name, progress=False)
    new_run, old_run = (outcomes.read(tmp_path / name) for name in ("whole", "old"))
    assert new_run.edits.columns.difference(old_run.edits.columns).tolist() == ["far_predictions", "taken_predictions"]
    cut = outcomes.Outcomes(
        new_run.samples[new_run.samples["split"].isin(["edit", "locality"])], new_run.edits[old_run.edits.columns]
    )
    assert outcomes.digest(cut) == outcomes.digest(old_run), "byte for byte"
    new, before = (record.read(tmp_path / name / "record.json") for name in ("whole", "old"))
    assert new.outcomes.sha256 != before.outcomes.sha256 == outcomes.digest(old_run)
    assert {name: new.scores[name] for name in before.scores} == before.scores
    assert new.scores.keys() - before.scores.keys() == {"lr_taken", "lr_far"}
    assert (new.data.taken_images, new.data.far_images) == (9, 7)
    assert (before.data.taken_images, before.data.far_images) == (None, None)
    assert len(group_comparable([new, before])) == 2
    header, row = tables.rows([before])
    assert row[header.index("LR taken")] == row[header.index("LR far")] == "–"
    header, row = tables.rows([new])
    assert row[header.index("LR taken")] != "–"


def test_a_run_that_was_stopped_goes_on_with_the_same_outcomes(
    base: BaseModel, further_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, settings = Judge(base, load(str(further_data))), Settings(edit_batch=3)
    whole = evaluate(choose(FT, "small"), judge, settings, tmp_path / "whole", progress=False)
    predict, asked = judge.predict_many, 0

    def stop(*arguments, **options):
        nonlocal asked
        asked += 1
        if asked == 6:
            raise KeyboardInterrupt
        return predict(*arguments, **options)

    monkeypatch.setattr(judge, "predict_many", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(choose(FT, "small"), judge, settings, tmp_path / "run", progress=False)
    assert outcomes.count_edits(tmp_path / "run") == 4
    monkeypatch.setattr(judge, "predict_many", predict)
    again = evaluate(choose(FT, "small"), judge, settings, tmp_path / "run", progress=False)
    assert again.outcomes.sha256 == whole.outcomes.sha256


def test_what_the_editor_answers_itself_is_asked_together(
    base: BaseModel, further_data: Path, tmp_path: Path, unhashed: None
) -> None:
    (tmp_path / "keeps.py").write_text(EDITOR)
    border, spec = Border(), f"{tmp_path / 'keeps.py'}:Keeps"
    judge = Judge(base, load(str(further_data)))
    result = evaluate(border.choose(spec, "small"), judge, Settings(), tmp_path / "run", progress=False, border=border)
    assert result.outcomes.judged_by_editor == result.outcomes.edits == len(judge.benchmark.edit)
    run = outcomes.read(tmp_path / "run")
    z = judge.base_edit[run.edits["sample"]]
    for column, label in (("taken_predictions", z), ("far_predictions", None)):
        for number, predictions in enumerate(run.edits[column]):
            base_labels = judge.benchmark.locality_far.labels if label is None else label[number]
            assert ((base_labels + 1) % 1000 == predictions).all()
    assert (run.edits["taken_predictions"].map(len) == 0).tolist() == (z == WITHOUT).tolist()


def test_data_that_no_base_is_judged_on_is_refused(base: BaseModel, further_data: Path, tmp_path: Path) -> None:
    judge = Judge(base, load(str(further_data)))
    evaluate(choose(FT, "small"), judge, Settings(limit=2), tmp_path / "run", progress=False)
    run = outcomes.read(tmp_path / "run")
    path = tmp_path / "run" / "samples.parquet"
    run.samples[run.samples["split"] != "locality_far"].to_parquet(path)
    with pytest.raises(Unreadable, match="predictions of a split without images"):
        outcomes.read(tmp_path / "run")
    run.samples.assign(label=run.samples["label"].where(run.samples["split"] != "locality_taken", 3)).to_parquet(path)
    with pytest.raises(Unreadable, match="predictions of locality_taken are not one an image"):
        outcomes.read(tmp_path / "run")
    rows = rows_of({(None, "x"): 3}, seed=9)
    write_split(further_data / "data", "locality_far", [{**row, "label": None} for row in rows])
    with pytest.raises(UserError, match="an image of locality_far has no label"):
        load(str(further_data))
    write_split(further_data / "data", "locality_far", rows_of({(None, "x"): 2}, seed=1))
    with pytest.raises(UserError, match=r"stand twice, .* in 1-2 and locality_far"):
        load(str(further_data))
    write_split(further_data / "data", "locality_far", [])
    with pytest.raises(UserError):
        load(str(further_data))


def test_training_images_are_none_of_these(further_data: Path) -> None:
    rows = [*rows_of({(None, "x"): 60}, seed=9), *rows_of({(None, "y"): 2}, seed=4)]
    write_split(further_data / "data", "train", rows)
    scored = load(str(further_data)).scored_hashes
    left = training_images(str(further_data), scored)
    assert len(left) == 62 - 17 and not scored & set(left.table["sha256"])


def test_a_head_edit_loses_the_class_it_takes_from_and_little_else(tmp_path: Path) -> None:
    """The README's example, on real images; `head-only` is a plain step on the same parameters."""
    judge = Judge(load_base("mini"), load("mini"))
    example = Path(__file__).parents[3] / "editors" / "examples" / "weights.py"
    settings = Settings(limit=18)
    for spec, most in (("head-only", 0.1), (f"{example}:MyEditor", 0.8)):
        scores = evaluate(choose(spec, "mini"), judge, settings, tmp_path / Path(spec).name, progress=False).scores
        taken, far = scores["lr_taken"].value, scores["lr_far"].value
        assert taken is not None and far is not None and taken < most and far > 0.95, (spec, taken, far)
    scores = evaluate(choose("null-edit", "mini"), judge, settings, tmp_path / "null", progress=False).scores
    assert scores["lr_taken"].value == scores["lr_far"].value == 1
