"""Each of the paper's figures and tables is made from records and analyses; what is not there is named."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.legend import Legend
from matplotlib.text import Text

import leaderboard
from benchmark.core import cli
from editors.core.registry import built_in
from leaderboard import figures as command
from leaderboard.analyses import figures, paper, paper_makers
from leaderboard.records import outcomes, record
from leaderboard.records.columns import schema_of
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.record import Record
from tests.conftest import copy_run

MINI = Path(leaderboard.__file__).parent / "results" / "mini-1"
NAMES = ["2b", "4", "5a", "5b", "6b", *"EFGHIJKLMN"]
FIELDS = {"pseudo": ["cutmix", "pgd"], "sparsity_weight": [0.1, 1.0], "inner_steps": [1, 5, 10]}
FIELDS |= {"inner_lr": [0.001, 0.01], "blocks": [1, 3]}


def copy(source: str, target: Path, run: Outcomes | None = None, **sections: dict[str, Any]) -> None:
    """A committed run under another name: some values of its record's sections are replaced, and its outcomes."""
    result = record.read(MINI / source / "record.json")
    copy_run(MINI / source, target)
    if run is not None:
        pq.write_table(
            pa.Table.from_pandas(run.edits, schema_of(run.edits.columns), False), target / "outcomes.parquet"
        )
        sections["outcomes"] = {"sha256": outcomes.digest(outcomes.read(target))}
    changed = {section: getattr(result, section).model_copy(update=values) for section, values in sections.items()}
    result.model_copy(update={"key": target.name.ljust(64, "0"), **changed}).write(target / "record.json")


def on_two_samples(source: str) -> Outcomes:
    """The outcomes of a run as if each edit had seen the next sample of its group, too."""
    run = outcomes.read(MINI / source)
    group_of = run.samples.loc[run.samples["split"] == "edit", "group_id"].reset_index(drop=True)
    members = {group: rows.to_numpy() for group, rows in group_of.groupby(group_of).groups.items()}
    partners = [
        [int(next(row for row in members[edit.group_id] if row != edit.sample))] for edit in run.edits.itertuples()
    ]
    return replace(run, edits=run.edits.assign(partners=partners))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs and analyses of which all figures can be made, most of them committed runs under other names."""
    folder = tmp_path_factory.mktemp("all")
    network = "hypernetwork-sparsity=0.95"
    editor = record.read(MINI / network / "record.json").editor
    for name in ("ft", "random-mask-sparsity=0.95", "kn-sparsity=0.9", "kn-sparsity=0.95", network):
        copy(name, folder / "runs" / name)
    second = {"base": {"name": "vits16", "identity": "0" * 64}}
    for name in ("ft", "spt-sparsity=0.95"):
        copy(name, folder / "second" / f"{name} of vits16", **second)
    for part in ("ffn", "msa"):
        for first in range(3):
            place = {
                "name": "ft-at",
                "spec": f"ft-at:part={part},first={first}",
                "config": {"part": part, "first": first},
            }
            copy("ft", folder / "layers" / f"{part}{first}", editor=place)
    copy(network, folder / "samples" / "2", on_two_samples(network), protocol={"samples_per_edit": 2})
    recipe = json.loads(editor.provenance["recipe"])
    for field, values in FIELDS.items():
        for value in values:
            trained = {"recipe": json.dumps({**recipe, "iterations": 1000, field: value})}
            file = f"{field}={value}.safetensors"
            written = {"spec": f"hypernetwork:checkpoint={file}", "config": {**editor.config, "checkpoint": file}}
            copy(network, folder / "networks" / file, editor={"provenance": trained, **written})
    groups = [(f"group {n}", "pairs" if n < 9 else "three_d") for n in range(10)]
    pairs = [("hypernetwork", a, subset, b, 0.5 if a == b else 0.1) for a, subset in groups for b, _ in groups]
    table = pd.DataFrame(pairs, columns=["editor", "group", "subset", "other", "iou"])
    (folder / "iou").mkdir()
    table.to_csv(folder / "iou" / "iou.csv", index=False)
    six = table.query("group < 'group 6' and other < 'group 6'").rename(columns={"group": "sample"})
    six.to_csv(folder / "iou" / "iou-samples.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of all figures, and the figures as matplotlib has them."""
    out, drawn, save = tmp_path_factory.mktemp("figures"), {}, figures.save

    def keep(figure: Any, path: Path) -> None:
        drawn[path.stem] = figure
        save(figure, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save", keep)
        cli.run(command.main, ["all", str(folder), "--out", str(out)])
    yield out, drawn


def test_the_list_names_each_figure_and_commands_that_there_are() -> None:
    entries = paper.read_list()
    assert [entry.name for entry in entries] == [*(f"figure-{name}" for name in NAMES), "table-A", "table-B"]
    for entry in entries:
        assert entry.drawn_as in paper_makers.MAKERS
        assert set(entry.editors) <= {*built_in(), "ft-at"}
        if entry.needs.startswith("python -m "):
            module, *words = entry.needs.split()[2:]
            main = importlib.import_module(module).main
            assert words[0] in (main if isinstance(main, dict) else built_in())


def test_all_are_made_as_light_pictures_whose_texts_lie_apart(made: tuple[Path, dict[str, Any]]) -> None:
    out, drawn = made
    assert drawn.keys() == {f"figure-{name}" for name in NAMES}
    tables = {f"table-{letter}{ending}" for letter in "AB" for ending in (".csv", ".tex")}
    assert {path.name for path in out.iterdir()} == {
        f"{name}{end}" for name in drawn for end in (".csv", ".svg")
    } | tables
    for name, figure in drawn.items():
        background = next(ElementTree.parse(out / f"{name}.svg").iter("{http://www.w3.org/2000/svg}path"))
        assert background.get("style", "").startswith("fill: #ffffff")
        figure.draw_without_rendering()
        width, height = figure.canvas.get_width_height()
        labels = [figure._suptitle, *(axes.xaxis.label for axes in figure.axes if axes.get_visible())]
        labels += [axes.title for axes in figure.axes if axes.get_visible()]
        boxes = [label.get_window_extent() for label in labels if label is not None and label.get_text()]
        boxes += [legend.get_window_extent() for legend in figure.findobj(Legend)]
        for number, box in enumerate(boxes):
            assert box.x0 >= -1 and box.x1 <= width + 1 and box.y0 >= -1 and box.y1 <= height + 1, name
            for other in boxes[:number]:
                assert not box.overlaps(other), name
        assert not any("nan" in text.get_text() for text in figure.findobj(Text))


def read(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / f"figure-{name}.csv")


def test_equal_figures_are_equal_files(folder: Path, made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, _ = made
    sources = paper.Sources.below([folder])
    for figure in paper.read_list():
        if figure.name in ("figure-2b", "figure-6b", "figure-H"):
            paper_makers.make(figure, sources, tmp_path)
    again = sorted(tmp_path.glob("*.svg"))
    assert len(again) == 3 and all((out / path.name).read_bytes() == path.read_bytes() for path in again)


def test_the_numbers_are_those_of_the_records(made: tuple[Path, dict[str, Any]]) -> None:
    out, _ = made
    scores = {name: record.read(MINI / name / "record.json").scores for name in ("ft", "kn-sparsity=0.95")}
    table = read(out, "4").set_index(["line", "value"])
    assert set(table.index.get_level_values("line")) == {"ft", "kn", "hypernetwork"}
    assert table.loc[("kn", 0.95), "gr"] == pytest.approx(scores["kn-sparsity=0.95"]["gr"].value, abs=1e-6)
    runs = read(out, "5a").set_index("line")["runs"]
    assert runs.to_dict() == {"random-mask": 1, "hypernetwork": 1}, "networks of an ablation are no repetitions"
    assert set(read(out, "F")["line"]) == {"ft", "spt"}
    places = read(out, "2b")
    assert places[["part", "first", "last"]].values.tolist() == [
        [p, n, n + 2] for p in ("ffn", "msa") for n in (1, 2, 3)
    ]
    assert places["lr"].tolist() == pytest.approx([scores["ft"]["lr"].value] * 6, abs=1e-6)
    each = read(out, "E").query("line == 'ft'")
    assert len(each) == 16 and each["gr"].mean() == pytest.approx(scores["ft"]["gr_pairs"].value, abs=1e-6)


def test_networks_are_compared_where_they_differ_in_one_field(made: tuple[Path, dict[str, Any]]) -> None:
    out, _ = made
    for letter, (field, values) in zip("JKLMN", FIELDS.items(), strict=True):
        table = read(out, letter)
        assert list(table["panel"].unique()) == ["natural groups", "generated groups"]
        assert list(table["line"].unique()) == [f"{field} = {value}" for value in values]
    network = record.read(MINI / "hypernetwork-sparsity=0.95" / "record.json").scores
    natural = read(out, "N").query("panel == 'natural groups'")
    assert natural["gr"].tolist() == pytest.approx([network["gr_pairs"].value] * 2, abs=1e-6)


def test_numbers_of_samples_are_compared_on_the_images_that_none_saw(made: tuple[Path, dict[str, Any]]) -> None:
    """Both runs have the same predictions, so on the same images they have the same GR, and not their own."""
    out, _ = made
    of_single, of_pair = read(out, "5b")["gr"]
    assert of_single == of_pair
    assert of_single != pytest.approx(
        record.read(MINI / "hypernetwork-sparsity=0.95" / "record.json").scores["gr"].value
    )


def test_masks_counts_and_training(made: tuple[Path, dict[str, Any]]) -> None:
    out, drawn = made
    assert len(read(out, "6b")) == 36 and len(read(out, "I")) == 64, "eight natural groups"
    assert "within 50.0 %, across 10.0 %" in drawn["figure-I"].axes[0].get_title().replace("\n", " ")
    curve = read(out, "H")
    assert curve["sparsity"].iloc[-1] == pytest.approx(0.84, abs=0.05) and curve["iteration"].iloc[-1] == 7000
    natural, generated = (pd.read_csv(out / f"table-{letter}.csv") for letter in "AB")
    assert (len(natural), natural["images"].sum(), generated["images"].tolist()) == (16, 258, [80, 80])
    assert generated["classes"].tolist() == [69, 78]
    assert natural["group"][0] in (out / "table-A.tex").read_text(encoding="utf-8")


def test_what_is_not_there_is_listed_with_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(command.main, ["all", str(MINI / "ft"), "--out", str(tmp_path / "out")])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "made of 1 runs, none of" in lines["figure-4"]
    assert "not made, since there are no such runs; it needs python -m leaderboard.analyse layers" in lines["figure-2b"]
    assert "there are no runs of a second base" in lines["figure-F"]
    assert "there is no iou.csv; it needs python -m leaderboard.analyse iou" in lines["figure-I"]
    assert not (tmp_path / "out" / "figure-2b.svg").exists()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "iou.csv",
            "editor,group,subset,other,iou\nhypernetwork,a,pairs,a,much\n",
            "could not convert string to float",
        ),
        ("iou-samples.csv", "editor,sample\n", "lacks the column other"),
    ],
)
def test_a_damaged_analysis_is_one_line(
    file: str, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy("ft", tmp_path / "ft")
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        cli.run(command.main, ["all", str(tmp_path), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and file in error and error.count("\n") == 1


def test_a_stand_in_is_the_base_with_most_runs(folder: Path) -> None:
    sources = paper.Sources.below([folder])
    assert {result.base.name for _, result in sources.of_base("vitb16")} == {"mini"}
    assert {result.base.name for _, result in sources.of_base("vits16")} == {"vits16"}

    def named(name: str, result: Record) -> Record:
        return result.model_copy(update={"base": result.base.model_copy(update={"name": name})})

    runs = [
        (path, named("vitb16" if n == 0 else result.base.name, result)) for n, (path, result) in enumerate(sources.runs)
    ]
    assert len(replace(sources, runs=runs).of_base("vitb16")) == 1, "the paper's own base goes before any other"
