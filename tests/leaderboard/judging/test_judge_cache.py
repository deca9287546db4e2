"""A judge asks the base once for all runs; D_l without labels; training images from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.data.dataset import Benchmark, load
from benchmark.images.decode import decode
from benchmark.labels.columns import UNKNOWN
from benchmark.models.load import BaseModel
from benchmark.predict import engine
from editors.core.base import Editor, TrainingImages
from editors.core.edit import FailedEdit, WeightEdit
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging.evaluate import Settings, evaluate
from leaderboard.judging.judge import Judge
from leaderboard.records import outcomes
from leaderboard.scores import metrics, tables
from tests.benchmark.test_load import by_class, no_forward
from tests.conftest import PREPROCESSING, rows_of, write_split


def plain(base: BaseModel, samples) -> list[int]:
    with torch.no_grad():
        return [
            int(base.module(PREPROCESSING(decode(samples.image_bytes(row)))[None]).argmax())
            for row in range(len(samples))
        ]


def test_the_base_is_asked_once_for_all_judges(
    base: BaseModel, small_benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Judge(base, small_benchmark, score_batch=5)
    assert first.base_locality.tolist() == plain(base, small_benchmark.locality)
    assert first.base_edit.tolist() == plain(base, first.benchmark.edit)
    edit = WeightEdit({"head.bias": base.module.head.bias + 1})
    expected = first.predict(edit, "line")
    monkeypatch.setattr(engine, "top2", no_forward)
    second = Judge(base, small_benchmark, score_batch=5)
    assert np.array_equal(second.base_edit, first.base_edit)
    assert np.array_equal(second.base_locality, first.base_locality)
    assert second.benchmark.fingerprint == first.benchmark.fingerprint
    for predictions, expected_predictions in zip(second.predict(edit, "line")[:2], expected[:2], strict=True):
        assert np.array_equal(predictions, expected_predictions)


def test_a_benchmark_made_in_memory_is_asked_for_anew(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path
) -> None:
    Judge(base, replace(small_benchmark, source=""))
    assert not (tmp_path / "cache").exists()
    Judge(base, small_benchmark)
    assert (tmp_path / "cache").exists()


def without_labels(data: Path) -> Benchmark:
    """The same benchmark, with one locality label unknown."""
    rows = rows_of({(None, "locality"): 12}, seed=2)
    rows[4]["label"] = None
    write_split(data / "data", "locality", rows)
    return load(str(data))


def test_without_all_labels_lr_is_undefined_and_agreement_stands(base: BaseModel, small_data: Path) -> None:
    """A failed edit predicts -1 everywhere, which must not be taken for the unknown label."""
    judge = Judge(base, without_labels(small_data))
    rows = []
    for number, edit in enumerate((WeightEdit({"head.bias": base.module.head.bias * 2}), FailedEdit("no"))):
        group_predictions, locality_predictions, forward_path = judge.predict(edit, "line")[:3]
        sample = int(judge.benchmark.members("line")[2 * number])  # of two drawings: something to resample
        rows.append(
            {
                "sample": sample,
                "partners": [],
                "group_id": "line",
                "steps": 1,
                "seconds": 0.0,
                "score_seconds": 0.0,
                "failure": edit.reason if isinstance(edit, FailedEdit) else None,
                "scored": forward_path,
                "group_predictions": group_predictions,
                "locality_predictions": locality_predictions,
            }
        )
    samples = outcomes.sample_table(judge.benchmark, judge.base_edit, judge.base_locality)
    assert (samples["label"] == UNKNOWN).sum() == 1
    import pandas as pd

    hits = metrics.compute_hits(outcomes.Outcomes(samples, pd.DataFrame(rows)))
    scores, spread = metrics.scores(hits), metrics.intervals(hits, replicates=20)
    assert np.isnan([scores["lr"], scores["lr_groups"], *spread["lr"]]).all()
    agreeing = (rows[0]["locality_predictions"] == judge.base_locality).mean()
    assert scores["lr_agreement"] == pytest.approx(agreeing / 2)
    assert np.isfinite(spread["lr_agreement"]).all()
    known = samples.assign(label=samples["label"].replace(UNKNOWN, 3))
    assert metrics.scores(metrics.compute_hits(outcomes.Outcomes(known, pd.DataFrame(rows))))["lr"] >= 0
    assert metrics.accuracy(np.array([1, 2]), np.array([1, UNKNOWN])) is None
    assert metrics.accuracy(np.array([1, 2]), np.array([1, 3])) == 0.5


def test_a_run_without_all_labels_is_recorded_and_shown(
    base: BaseModel, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = without_labels(small_data)
    settings, chosen = Settings(limit=2), choose("ft:lr=0.002,max_steps=2", "small")
    result = evaluate(chosen, Judge(base, benchmark), settings, tmp_path / "run", progress=False)
    assert result.scores["lr"].value is None and result.scores["lr_agreement"].value is not None
    assert result.base.locality_accuracy is None
    header, row = tables.rows([result])
    assert row[header.index("LR")] == "–" and row[header.index("LR agreement")] != "–"
    assert evaluate(chosen, Judge(base, benchmark), settings, tmp_path / "run", progress=False) == result
    chosen_with = replace(base, name="vitb16")
    monkeypatch.setattr("benchmark.data.dataset.passes_rule", lambda *_: True)
    judge = Judge(chosen_with, benchmark)
    assert judge.benchmark.locality.labels[4] == judge.base_locality[4]
    labelled = evaluate(chosen, judge, settings, tmp_path / "vitb16", progress=False)
    assert labelled.scores["lr"].value is not None and labelled.base.locality_accuracy is not None


class Learns(Editor):
    """Remembers what it was fitted to."""

    seen: tuple[str, ...] = ()

    def fit(self, model: nn.Module, training: TrainingImages) -> None:
        self.seen = tuple(training.samples.table["sha256"])
        assert training.images(range(len(training))).shape == (len(training), 3, 32, 32)

    def provenance(self) -> dict[str, str]:
        return {"images": " ".join(sorted(self.seen))}

    def edit(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> WeightEdit:
        return WeightEdit({"head.bias": model.head.bias + 0.1})


def test_fit_takes_the_training_images_it_is_given(base: BaseModel, small_benchmark: Benchmark, tmp_path: Path) -> None:
    """Those of the data by default; those of another folder where one is named, without what is scored."""
    import hashlib

    chosen = ChosenEditor("learns", Learns, Learns.Config())
    images = by_class(tmp_path / "train")
    scored = small_benchmark.locality.image_bytes(0)
    (tmp_path / "train" / "890" / "scored.png").write_bytes(scored)

    def seen(train: str) -> set[str]:
        judge = Judge(base, replace(small_benchmark, train=train))
        result = evaluate(chosen, judge, Settings(limit=1), tmp_path / f"run-{bool(train)}", progress=False)
        return set(result.editor.provenance["images"].split())

    assert seen("") == {row["sha256"] for row in rows_of({(None, "train"): 6}, seed=3)}
    assert seen(str(tmp_path / "train")) == {hashlib.sha256(image).hexdigest() for image in images}
