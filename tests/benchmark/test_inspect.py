"""A benchmark shown to a person: the table of its groups and the contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark import inspect
from benchmark.core import cli
from benchmark.data.dataset import Benchmark, LabelledImages, load
from benchmark.images.decode import decode
from benchmark.images.memory import EncodedImages
from benchmark.images.sheets import Cell, Line, contact_sheet, thumbnail
from benchmark.labels.imagenet import names
from benchmark.subsets.subset import paper_groups
from tests.conftest import rows_of, write_split


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """Two of the paper's groups, one of them short; D_l half labelled; sources, one of them hostile."""
    rows = rows_of({("890-430", "natural"): 3, ("18", "stage_light"): 1092}, seed=1)
    for number, row in enumerate(rows):
        row.update(source="Flickr" if number < 3 else "PUG: ImageNet", source_id=f"id-{number}")
        row.update(group="volleyball-basketball" if number < 3 else "stage light")
    near = rows_of({(None, "locality"): 4}, seed=2)
    for number, row in enumerate(near):
        row.update(label=row["label"] if number % 2 else None, source="[bold]x\x1b[31m")
    write_split(tmp_path / "built" / "data", "edit", rows)
    write_split(tmp_path / "built" / "data", "locality", near)
    return tmp_path / "built"


def test_the_table_sets_counts_beside_the_papers(partial: Path) -> None:
    table = inspect.count_groups(load(str(partial))).set_index("id")
    assert len(table) == 19 and table.index[-1] == "locality"
    assert table.loc["890-430", ["images", "expected", "labelled"]].tolist() == [3, 123, 3]
    assert table.loc["18", ["images", "expected", "labelled"]].tolist() == [1092, 1092, 1092]
    assert table.loc["locality", ["images", "expected", "labelled"]].tolist() == [4, 2071, 2]
    absent = table[table["images"] == 0]
    assert len(absent) == 16 and absent["expected"].sum() == 4306 - 123 - 1092
    assert table["expected"].iloc[:-1].sum() == sum(group.count for group in paper_groups())


def test_other_data_has_no_expected_counts(small_benchmark: Benchmark) -> None:
    table = inspect.count_groups(small_benchmark)
    assert table["id"].tolist() == ["1-2", "3-4", "5-6", "line", "locality"]
    assert table["images"].tolist() == [4, 3, 1, 5, 12] and table["expected"].isna().all()


def test_sources_are_counted_by_subset(partial: Path) -> None:
    table = inspect.count_sources(load(str(partial)))
    assert table.loc["Flickr"].to_dict() == {"natural": 3, "stage_light": 0, "locality": 0}
    assert table.index.tolist() == ["PUG: ImageNet", r"[bold]x\x1b[31m", "Flickr"]
    assert table.to_numpy().sum() == 3 + 1092 + 4


def test_cells_are_spread_evenly_and_say_what_they_are(partial: Path) -> None:
    samples = load(str(partial)).edit
    shown = inspect.make_cells(samples, limit=12)
    ids = [int(cell.lines[1].text.removeprefix("id-")) for cell in shown]
    assert len(ids) == 12 and ids[0] == 0 and ids[-1] == 1094 and set(np.diff(ids)) <= {99, 100}
    label = samples.labels[ids[5]]
    assert shown[5].lines[0].text == f"{names()[label]} ({label})" and shown[5].note == "PUG: ImageNet"
    assert shown[5].picture is not None
    assert shown[5].picture.tobytes() == thumbnail(decode(samples.image_bytes(ids[5]))).tobytes()
    near = inspect.make_cells(load(str(partial)).locality)
    assert [cell.lines[0].text == "label unknown" for cell in near] == [True, False, True, False]
    assert near[0].lines[1].text.startswith("sha256 ")


def test_a_picture_that_does_not_decode_leaves_a_frame(small_benchmark: Benchmark) -> None:
    import pyarrow as pa

    broken = LabelledImages(
        small_benchmark.edit.table[:2], EncodedImages("x", ["a", "b"], pa.chunked_array([[b"<html>", b""]]))
    )
    assert [cell.picture for cell in inspect.make_cells(broken)] == [None, None]


def test_a_sheet_a_group_in_names_that_stay_in_the_folder(tmp_path: Path) -> None:
    groups = {("../../escape", "a\x1b]0;x"): 2, ("......escape", "a"): 1}
    write_split(tmp_path / "in" / "data", "edit", rows_of(groups, seed=1))
    write_split(tmp_path / "in" / "data", "locality", rows_of({(None, "locality"): 7}, seed=2))
    paths = inspect.write_sheets(load(str(tmp_path / "in")), tmp_path / "out")
    names_ = [path.name for path in paths]
    assert names_ == ["01-------escape.png", "02-------escape.png", "03-locality.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names_
    with Image.open(paths[2]) as sheet:
        assert sheet.format == "PNG" and sheet.height > 2 * 160, "seven pictures take two rows"


def test_the_command_prints_and_writes(partial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(inspect.main, [str(partial), "--out", str(tmp_path / "sheets")])
    printed = capsys.readouterr().out
    assert "2 groups, 1,095 editing samples, 4 locality images" in printed
    assert "\x1b]" not in printed and "[bold]x" in printed
    assert len(list((tmp_path / "sheets").glob("*/*.png"))) == 3
    with pytest.raises(SystemExit) as stop:
        cli.run(inspect.main, ["nowhere"])
    assert stop.value.code == 2


def test_sheets_cut_text_and_keep_numbers() -> None:
    """The number at the right stays whole; a long text ends before it."""
    colour = Image.new("RGB", (8, 8), (200, 30, 30))
    cells = [Cell(thumbnail(colour), (Line("n" * 99, "#000000"), Line("x", "#0000ff", "92%")), "z" * 99)] * 7
    sheet = contact_sheet(cells, "title " * 40, [("about " * 40, "#00ff00"), ("beyond", "#ff0000")])
    assert sheet.width < 1200
    assert (np.asarray(sheet)[:90, -32:] == 255).all(), "the heading ends before the margin"
    assert sum(pixel == (200, 30, 30) for pixel in sheet.get_flattened_data()) == 7 * 160 * 160
    below = np.asarray(sheet.crop((192 + 2, 260, 210 - 2, 330)))  # smooth edges may take a pixel
    assert (below == 255).all(), "nothing is written into the gap between two pictures"
