"""The analyses on a small random ViT: each command's files, and the numbers behind them worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from torch import Tensor, nn

from benchmark.core import cli
from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from benchmark.models.vit import hidden_width
from editors.core.registry import ChosenEditor, choose
from editors.methods.hypernetwork.recipe import PRESETS, HypernetworkRecipe
from editors.methods.masked import MaskedFineTune
from editors.training.images import open_training_images
from editors.training.studies import StudyOptions
from leaderboard import analyse
from leaderboard.analyses import ablation, figures, iou
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings, with_partners
from leaderboard.records import outcomes
from leaderboard.records.record import Record
from leaderboard.records.sections import Score
from leaderboard.scores import curves

COMMANDS = {"layers": analyse.layers, "iou": analyse.iou, "ablation": analyse.ablation, "curve": analyse.curve}


@pytest.fixture
def judge(base: BaseModel, small_benchmark: Benchmark) -> Judge:
    return Judge(base, small_benchmark)


@pytest.fixture
def analysed(judge: Judge, monkeypatch: pytest.MonkeyPatch):
    """Run a command as typed, on the small ViT and the small data."""
    monkeypatch.setattr(analyse.On, "judge", lambda self: judge)
    return lambda *words: cli.run(COMMANDS, [str(word) for word in words], about="analyses")


def is_picture(path: Path) -> bool:
    with Image.open(path) as image:
        return image.format == "PNG" and min(image.size) > 300


def test_layers_scores_every_position_and_goes_on(analysed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    analysed("layers", "--limit", 2, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "layers.csv")
    assert table.groupby("part")["first"].apply(list).to_dict() == {"ffn": [1, 2, 3, 4], "msa": [1, 2, 3, 4]}
    assert (table["last"] - table["first"] == 2).all()
    assert is_picture(tmp_path / "layers.png")
    assert "MSA" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("record.json")}
    assert len(before) == 8
    analysed("layers", "--limit", 2, "--out", tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("record.json")}


def test_iou_by_hand() -> None:
    masks = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]], bool)
    expected = np.array([[1, 1, 1 / 4, 0], [1, 1, 1 / 4, 0], [1 / 4, 1 / 4, 1, 0], [0, 0, 0, 0]])
    assert iou.pairwise(masks) == pytest.approx(expected)


def test_group_means_leave_out_views_of_one_drawing_and_weigh_samples() -> None:
    """Group 0 holds samples 0, 1 (one drawing) and 2; group 1 holds 3 alone."""
    values = np.array([[1, 0.9, 0.2, 0.1], [0.9, 1, 0.4, 0.3], [0.2, 0.4, 1, 0.5], [0.1, 0.3, 0.5, 1]])
    drawings, codes = np.array([0, 0, 1, 2]), np.array([0, 0, 0, 1])
    pairs = (drawings[:, None] != drawings).astype(float)
    once, weighted = iou.group_means(values, pairs, codes, np.array([[1, 1, 1, 1], [0, 2, 1, 1]]))
    assert once[0, 0] == pytest.approx((0.2 + 0.4) / 2)
    assert once[0, 1] == once[1, 0] == pytest.approx((0.1 + 0.3 + 0.5) / 3)
    assert np.isnan(once[1, 1])
    assert weighted[0, 0] == pytest.approx(0.4)
    assert weighted[0, 1] == pytest.approx((2 * 0.3 + 0.5) / 3)
    means = iou.within_and_across(once[None], np.array([[1, 1]]))
    assert means["within"][0] == pytest.approx(0.3)
    assert means["across"][0] == pytest.approx(0.3)
    assert means["difference"][0] == pytest.approx(0)


class ByLabel(MaskedFineTune):
    """Masks that depend on the label alone: IoU 1 for equal labels."""

    def scores(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        drawn = [
            torch.rand(6, hidden_width(model), generator=torch.Generator().manual_seed(int(n))) for n in labels[:, 0]
        ]
        return torch.stack(drawn)


def test_overlap_within_and_across_groups(judge: Judge, small_benchmark: Benchmark) -> None:
    table = small_benchmark.edit.table
    table["label"] = table["group_id"].map({group: n for n, group in enumerate(small_benchmark.groups)})
    judge = Judge(judge.base, small_benchmark)
    overlap = iou.overlap(ChosenEditor("by-label", ByLabel, ByLabel.Config()), judge, 0.5, Settings(), progress=False)
    assert overlap.means["within"].value == pytest.approx(1)
    assert overlap.means["within"].low is None, "all masks of a group are alike: nothing varies, which is not certainty"
    across = overlap.means["across"]
    assert across.value == pytest.approx(1 / 3, abs=0.05)  # half of all units, by chance
    assert across.low is not None and across.high is not None and across.low <= across.value <= across.high
    assert np.isnan(overlap.matrix[2, 2]), "a group of one image has no pair"


def test_overlap_varies_from_group_to_group_and_not_once_more_within_them(judge: Judge) -> None:
    """Of two groups one is drawn a time, whole: the ends are the two groups' own means, and no pair lies across."""
    table = judge.benchmark.edit.table
    table["group_id"] = table["group"] = ["a"] * 7 + ["b"] * 6
    table["label"], table["subset"], table["drawing"] = [0] * 7 + [1] * 6, "pairs", [f"d{row}" for row in range(13)]
    overlap = iou.overlap(choose("random-mask", "small"), judge, 0.5, Settings(), progress=False)
    own = np.diagonal(overlap.matrix)
    within, across = overlap.means["within"], overlap.means["across"]
    assert own[0] != own[1] and within.value == pytest.approx(own.mean())
    assert (within.low, within.high) == pytest.approx((own.min(), own.max()))
    assert across.value == pytest.approx(overlap.matrix[0, 1]) and (across.low, across.high) == (None, None)


def test_iou_writes_matrix_means_and_picture(analysed, tmp_path: Path) -> None:
    analysed("iou", "random-mask", "random-mask:lr=1", "--sparsity", 0.5, "--out", tmp_path)
    assert len(pd.read_csv(tmp_path / "iou.csv")) == 2 * 4 * 4
    means = pd.read_csv(tmp_path / "iou-means.csv")
    assert list(means.columns)[:3] == ["editor", "sparsity", "within"]
    assert is_picture(tmp_path / "iou.png")


def test_iou_wants_editors_that_mask(analysed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        analysed("iou", "ft", "--out", tmp_path)
    assert "masks no units" in capsys.readouterr().err


@pytest.fixture
def run(judge: Judge, tmp_path: Path) -> Record:
    chosen = choose("random-mask:lr=0.01,max_steps=2,sparsity=0.5", "small")
    return evaluate(chosen, judge, Settings(), tmp_path / "run", progress=False)


def like(run: Record, gr: float, seed: int = 0, config: dict | None = None, **protocol) -> Record:
    """The same record with another GR, seed and settings."""
    score = run.scores["gr"].model_copy(update={"value": gr, "low": gr - 0.1, "high": gr + 0.2})
    changed = {**run.editor.config, **(config or {})}
    spec = f"{run.editor.name}:{','.join(f'{name}={value}' for name, value in changed.items())}"
    editor = run.editor.model_copy(update={"config": changed, "spec": spec})
    return run.model_copy(
        update={
            "key": f"{gr} {seed} {config} {protocol}",  # a run of its own, and no copy
            "scores": {**run.scores, "gr": score},
            "editor": editor,
            "protocol": run.protocol.model_copy(update={"seed": seed, **protocol}),
        }
    )


def test_seeds_and_learned_files_are_pooled_and_settings_are_not(run: Record) -> None:
    records = [
        like(run, 0.4, seed=1),
        like(run, 0.2, seed=0, config={"checkpoint": "a.safetensors"}),
        like(run, 0.6, seed=0, config={"sparsity": 0.9}),
        like(run, 0.9, config={"lr": 0.1}),
    ]
    pooled, alone = curves.lines(records)
    assert (pooled.label, alone.label) == ("random-mask lr=0.01", "random-mask lr=0.1")
    assert sorted(len(repetition) for repetition in pooled.runs) == [1, 2]
    half, most = pooled.points
    assert (half.value, half.runs, most.value, most.runs) == (0.5, 2, 0.9, 1)
    gr = half.scores["gr"]
    assert (gr.value, gr.low, gr.high) == pytest.approx((0.3, 0.2, 0.5))


def test_interpolated_runs_are_the_knob_of_an_editor_without_one(run: Record) -> None:
    """From the base to the edit as it is, which comes last; and where the knob of an editor did not move."""
    plain = run.model_copy(update={"editor": run.editor.model_copy(update={"knob": None})})

    def between(record: Record, alpha: float) -> Record:
        return record.model_copy(update={"editor": record.editor.model_copy(update={"interpolate": alpha})})

    (curve,) = curves.lines([plain, between(plain, 0.75), between(plain, 0.25)])
    assert curve.knob == "interpolate" and [point.value for point in curve.points] == [0.25, 0.75, 1.0]
    (curve,) = curves.lines([run, between(run, 0.5)])
    assert (curve.label, curve.knob) == ("random-mask", "interpolate")
    swept = [like(run, 0.4, config={"sparsity": value}) for value in (0.5, 0.9)]
    half = [between(record, 0.5) for record in swept]
    over_knob = curves.lines([*swept, *half])
    assert [line.label for line in over_knob] == ["random-mask", "random-mask interpolate=0.5"]
    assert [line.knob for line in over_knob] == ["sparsity"] * 2
    _, over_factor = curves.lines([*swept, half[0], between(swept[0], 0.25)])
    assert (over_factor.label, over_factor.knob) == ("random-mask sparsity=0.5", "interpolate")
    assert [point.value for point in over_factor.points] == [0.25, 0.5]


def test_runs_that_differ_in_more_are_refused(run: Record) -> None:
    with pytest.raises(UserError, match=r"not comparable: samples_per_edit is 1 in one and 2"):
        curves.lines([run, like(run, 0.1, samples_per_edit=2)])
    with pytest.raises(UserError, match=r"leaderboard\.submit makes one"):
        curves.lines([])


def test_curve_is_drawn_from_records(analysed, run: Record, tmp_path: Path) -> None:
    for number, value in enumerate((0.25, 0.75)):
        like(run, value, config={"sparsity": value}).write(tmp_path / "runs" / str(number) / "record.json")
    analysed("curve", tmp_path / "runs", "--out", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "curve.csv")
    assert table[["line", "knob", "value", "runs", "gr"]].values.tolist() == [
        ["random-mask", "sparsity", 0.25, 1, 0.25],
        ["random-mask", "sparsity", 0.75, 1, 0.75],
    ]
    assert is_picture(tmp_path / "out" / "curve.png")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are made, in their final form."""
    made: list[Any] = []
    save = figures.save
    monkeypatch.setattr(figures, "save", lambda figure, path: (made.append(figure), save(figure, path)))
    return made


def texts(figure: Any) -> list[Any]:
    """All texts of a figure that show."""
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def test_many_lines_are_small_multiples_whose_texts_lie_within_the_figure(
    run: Record, tmp_path: Path, drawn: list[Any]
) -> None:
    """Seventeen editors with long and hostile names: eight lines a panel at most, no colour or marker twice in one."""
    names = [
        *(f"editor-{number}" for number in range(14)),
        "a" * 200,
        "two $words$\n\x1b[2J",
        "path/to/" * 12 + "x.py:A",
    ]
    records = [
        record.model_copy(update={"editor": record.editor.model_copy(update={"name": name})})
        for number, name in enumerate(names)
        for record in (like(run, 0.3 + number / 100, config={"sparsity": value}) for value in (0.25, 0.75))
    ]
    figures.gr_lr(
        curves.lines(records), f"Generalisation and locality\n{'mini of long names, ' * 12}", tmp_path / "a.png"
    )
    (figure,) = drawn
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.axison and axes.get_visible()]
    legends = [[text.get_text().replace("\n", "") for text in axes.get_legend().get_texts()] for axes in panels]
    assert len(panels) == 3 and sum(map(len, legends)) == 17 and max(map(len, legends)) <= 8
    assert all(text.endswith(": sparsity 0.25 to 0.75") for text in legends[0])
    width, height = figure.canvas.get_width_height()
    for axes, legend in zip(panels, legends, strict=True):
        coloured = [line for line in axes.lines if line.get_marker() != "None"]
        for looks in ({line.get_color() for line in coloured}, {line.get_marker() for line in coloured}):
            assert len(looks) == len(legend)
        box = axes.get_window_extent()
        assert box.width > 0.35 * width and box.height > 150, "the axes, and not their legend, have the room"
        for text in (*axes.get_legend().get_texts(), figure._suptitle):
            box = text.get_window_extent()
            assert -1 <= box.x0 <= box.x1 <= width + 1 and -1 <= box.y0 <= box.y1 <= height + 1, text.get_text()


def test_what_is_not_known_is_never_nan(tmp_path: Path, drawn: list[Any]) -> None:
    means = dict.fromkeys(("within", "across", "difference"), Score(value=None))
    unknown = iou.Overlap("random-mask", ["a", "b"], np.full((2, 2), np.nan), means)
    figures.overlaps([unknown], "Overlap of masks", tmp_path / "a.png")
    assert not any("nan" in text.get_text() for text in texts(drawn[0]))
    assert "within – %, across – %" in drawn[0].axes[0].get_title().replace("\n", " ")


def test_ablation_of_samples(analysed, tmp_path: Path) -> None:
    words = ["--editor", "random-mask:max_steps=2", "--limit", 2, "--sparsities", 0.5]
    analysed("ablation", "--what", "samples", *words, "--out", tmp_path)
    table = pd.read_csv(tmp_path / "samples.csv")
    assert table["line"].to_list() == ["1 sample", "2 samples", "3 samples"]
    assert is_picture(tmp_path / "samples.png")


def test_samples_are_compared_on_the_same_images(judge: Judge, tmp_path: Path) -> None:
    """An edit on one sample is judged without the two that edits on three saw."""
    settings = Settings(groups=("line",))
    chosen = choose("random-mask:lr=0.01,max_steps=3", "small")
    lines = ablation.of_samples(chosen, judge, [0.5], settings, tmp_path)
    (run,) = (tmp_path / "runs" / "1sample").iterdir()
    edits = outcomes.read(run).edits
    three = with_partners(judge.benchmark, edits["sample"].to_numpy(), Settings(samples_per_edit=3))
    members = judge.benchmark.members("line")
    labels = judge.benchmark.edit.labels[members]
    rates = [
        (predictions == labels)[~np.isin(members, seen)].mean()
        for predictions, seen in zip(edits["group_predictions"], three, strict=True)
    ]
    assert lines[0].points[0].scores["gr"].value == pytest.approx(np.mean(rates))


def test_ablation_refits_from_one_bank_and_goes_on(
    judge: Judge, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "released", HypernetworkRecipe(inner_steps=1, outer_steps=1, steps_a_batch=1))
    source = open_training_images(str(small_data))
    chosen, options = choose("hypernetwork:max_steps=1", "small"), StudyOptions("released", 8, 2)

    def study(name: str) -> list[curves.Line]:
        settings = Settings(limit=2)
        return ablation.of_recipe(name, chosen, judge, source, options, (0, 1), [0.5], settings, tmp_path)

    lines = study("blocks")
    assert [line.label for line in lines] == ["blocks = 1", "blocks = 3", "blocks = 5"]
    assert [len(line.runs) for line in lines] == [2, 2, 2]
    assert len(list((tmp_path / "banks").iterdir())) == 1
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.suffix in (".safetensors", ".json")}
    study("blocks")
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    study("T")
    assert len(list((tmp_path / "banks").iterdir())) == 3, "T = 1 shares the bank of the recipe, 5 and 10 do not"


def test_ablation_of_training_wants_an_editor_that_is_trained() -> None:
    for spec in ("ft", "ke"):
        with pytest.raises(UserError, match="takes no trained network to study"):
            ablation.find_study(choose(spec, "small"), "T")
    with pytest.raises(UserError, match='no study is called "lamda"; did you mean "lambda"'):
        ablation.find_study(choose("hypernetwork", "small"), "lamda")
