"""The two looks, and the data set made from the mini's drawings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.core.stopping import how_to_go_on
from benchmark.data.dataset import load, read_split
from benchmark.data.packaged import MINI
from benchmark.data.schema import features
from benchmark.data.training import training_images
from benchmark.images.decode import decode
from benchmark.models.load import load_base
from generation import procedural
from generation.core.flaws import Made
from generation.core.folder import read_table, write_table
from generation.looks import painting, shifting, spotlight
from generation.looks.painting import paint_in_oil
from generation.looks.spotlight import find_subject, light_stage


@pytest.fixture(scope="module", autouse=True)
def _small_canvas() -> Iterator[None]:
    """A canvas a third of the real one, and brushes with it: a painting takes a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(painting, "SIDE", 64)
        patch.setattr(painting, "LARGEST", (2.0, 4.0))
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("procedural") / "mini_generated"
    return out, procedural.build(out, limit=10)


@pytest.fixture
def drawing() -> Image.Image:
    """A red disc on a light gradient, 40 x 30."""
    y, x = np.mgrid[:30, :40]
    pixels = np.stack([180 + x, 190 + y, np.full_like(x, 220)], 2).astype(np.uint8)
    pixels[(x - 20) ** 2 + (y - 15) ** 2 < 60] = (200, 30, 30)
    return Image.fromarray(pixels)


# ------------------------------------------------------------------------------------------------ the looks


@pytest.mark.parametrize("look", [paint_in_oil, light_stage])
def test_a_seed_makes_one_picture_of_the_same_size(look, drawing: Image.Image) -> None:
    first, again, second = (look(drawing, seed) for seed in (1, 1, 2))
    assert first.size == drawing.size and first.mode == "RGB"
    assert first.tobytes() == again.tobytes() != second.tobytes()
    assert look(Image.new("RGB", (7, 9), "white"), 3).size == (7, 9)


def test_a_painting_keeps_the_picture_and_adds_strokes(drawing: Image.Image) -> None:
    original = np.asarray(drawing).astype(float)
    painted = np.asarray(paint_in_oil(drawing, 4)).astype(float)
    disc = np.zeros((30, 40), bool)
    disc[12:19, 17:24] = True
    red = painted[disc].mean(0)
    assert red[0] > 1.5 * red[1], "the disc is still red"
    corner = (slice(0, 8), slice(0, 10))
    assert painted[corner].std(axis=(0, 1)).mean() > 2 * original[corner].std(axis=(0, 1)).mean(), "strokes"
    coarse = [picture.reshape(3, 10, 4, 10, 3).mean((1, 3)) for picture in (original, painted)]
    assert np.corrcoef(coarse[0].ravel(), coarse[1].ravel())[0, 1] > 0.8


def test_light_falls_where_the_spot_is_and_nowhere_else() -> None:
    white = Image.new("RGB", (60, 60), "white")
    for seed in range(8):
        lit = np.asarray(light_stage(white, seed)).astype(float)
        brightness = lit.mean(2)
        corners = np.array([brightness[y, x] for y in (0, -1) for x in (0, -1)])
        assert brightness.max() > 140, "the spot"
        assert np.median(corners) < 0.65 * brightness.max(), "the dark room"
        middle = brightness[20:40, 20:40].mean()
        assert middle > corners.mean()


def test_the_subject_is_what_the_border_does_not_explain(drawing: Image.Image) -> None:
    subject = find_subject(np.asarray(drawing) / 255)
    y, x = np.mgrid[:30, :40]
    distance = (x - 20) ** 2 + (y - 15) ** 2
    assert (subject[distance < 60] == 1).all() and (subject[distance >= 60] == 0).all()


def test_the_shadow_falls_on_the_background_only(drawing: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    with_shadow = np.asarray(light_stage(drawing, 5)).astype(int)
    monkeypatch.setattr(spotlight, "SHADOW", 0.0)
    without = np.asarray(light_stage(drawing, 5)).astype(int)
    y, x = np.mgrid[:30, :40]
    inside = (x - 20) ** 2 + (y - 15) ** 2 < 40
    assert (with_shadow <= without).all() and (with_shadow < without).any()
    assert (with_shadow == without)[inside].all()


def test_srgb_is_the_standards() -> None:
    """Values of IEC 61966-2-1: black, the end of its linear piece, half the light (188), and white."""
    levels = np.array([0, 0.04045, 188 / 255, 1])
    linear = spotlight._to_linear(levels)
    assert linear == pytest.approx([0, 0.0031308, 0.5029, 1], abs=1e-4)
    assert spotlight._to_srgb(linear) == pytest.approx(levels, abs=1e-4)


# --------------------------------------------------------------------------------------------- the data set


def test_it_loads_as_the_paper_s_two_groups(built: tuple[Path, dict]) -> None:
    out, note = built
    benchmark = load(str(out))
    assert (benchmark.name, benchmark.version) == ("mini_generated", "mini-generated-1")
    assert benchmark.groups == ["17", "18"] and set(benchmark.edit.table["group"]) == {"oil painting", "stage light"}
    counts = benchmark.edit.table["subset"].value_counts().to_dict()
    assert counts == {group["subset"]: group["count"] for group in note["groups"]}
    pool = read_split(out / "data", "pool")
    assert len(pool) + len(benchmark.edit) == sum(group["made"] for group in note["groups"])
    for split in ("locality", "train"):
        for file in MINI.glob(f"{split}-*.parquet"):
            assert (out / "data" / file.name).read_bytes() == file.read_bytes()
    assert len(training_images(str(out), benchmark.scored_hashes)) == 1600


def test_every_edit_is_a_failure_and_was_none_before(built: tuple[Path, dict]) -> None:
    edit, mini = load(str(built[0])).edit, load_base("mini")
    with torch.no_grad():
        predictions = mini.module(edit.images(mini.preprocessing)).argmax(-1).numpy()
    assert (predictions == edit.table["base_prediction"]).all() and (predictions != edit.labels).all()
    pool = read_split(MINI, "pool")
    origin = pool.table.set_index("source_id")
    used = {d for split in procedural.JUDGED_OR_LEARNED for d in read_split(MINI, split).table["drawing"]}
    for row in edit.table.itertuples():
        before = origin.loc[[row.source_id.rpartition(" ")[0]]]
        before = before[before["drawing"] == row.drawing]
        assert row.label in set(before["label"])
        images = pool.take(np.flatnonzero(pool.table["sha256"].isin(before["sha256"]))).images(mini.preprocessing)
        assert row.label in mini.module(images).argmax(-1).tolist()
        assert row.drawing not in used and not row.drawing.startswith("fluent")


def test_images_hashes_and_schema(built: tuple[Path, dict]) -> None:
    import pyarrow.parquet as pq

    out, _ = built
    for split in ("edit", "pool"):
        samples = read_split(out / "data", split)
        hashes = [hashlib.sha256(samples.image_bytes(row)).hexdigest() for row in range(len(samples))]
        assert hashes == samples.table["sha256"].tolist()
        assert {decode(samples.image_bytes(row)).size for row in range(len(samples))} == {(64, 64)}
        (file,) = (out / "data").glob(f"{split}-*.parquet")
        assert pq.read_schema(file).equals(features().arrow_schema, check_metadata=True)
    assert "CC-BY-SA-4.0" in (out / "NOTICE").read_text()


def test_an_image_depends_on_its_source_and_look_alone(built: tuple[Path, dict], tmp_path: Path) -> None:
    out, _ = built
    row = read_split(out / "data", "edit").table.iloc[0]
    pool = read_split(MINI, "pool")
    positions = np.flatnonzero(pool.table["source_id"] == row["source_id"].rpartition(" ")[0])
    again = procedural.apply_look(pool.take(positions), row["subset"], procedural.Plan(), tmp_path)
    assert row["sha256"] in set(again["sha256"])


def test_load_dataset_reads_the_folder(built: tuple[Path, dict], tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(built[0]), cache_dir=str(tmp_path))
    assert set(loaded) == {"edit", "locality", "train", "pool"}
    assert loaded["edit"].features["label"].names == features()["label"].names


def test_groups_are_varied_by_rule() -> None:
    rows = [("a", 1, 2, "1"), ("a", 1, 2, "0"), ("b", 1, 1, "2"), ("c", 1, 2, "3"), ("d", 2, 1, "4"), ("d", 2, 1, "5")]
    made = pd.DataFrame(rows, columns=["drawing", "label", "base_prediction", "sha256"])
    assert procedural.mask_group(made, procedural.Plan(images=3)).tolist() == [False, True, False, True, True, False]
    assert procedural.mask_group(made, procedural.Plan(images=9, a_class=1)).tolist() == [
        *(False, True, False, False, True, False)
    ]


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UserError, match=r"holds thesis\.txt, which no build made"):
        procedural.main(tmp_path / "mine")


def test_a_folder_of_photographs_under_both_looks(tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = pictures(tmp_path / "photographs", {"stingray": 1, "987": 1})
    procedural.main(tmp_path / "out", images=photographs)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    assert len(before) == 4
    procedural.main(tmp_path / "out", images=photographs)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what is there is not made again"
    rows = read_table(tmp_path / "out" / "stage_light")
    assert [row["file"] for row in rows] == ["6/00001.png", "987/00000.png"]
    source = decode(photographs / "987" / "0.png")
    expected = light_stage(source, rows[1]["seed"])
    assert Image.open(tmp_path / "out" / "stage_light" / "987/00000.png").tobytes() == expected.tobytes()
    assert json.dumps(rows[0]) and Image.open(tmp_path / "out/oil_painting/6/00001.png").size == (40, 36)


def test_a_photograph_that_shows_nothing_or_becomes_nothing_is_not_kept(
    tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs = pictures(tmp_path / "photographs", {"6": 2})
    Image.new("RGB", (40, 36), "black").save(photographs / "6" / "2.png")
    real, first = (
        shifting.LOOKS["stage_light"],
        shifting.list_seeds(hashlib.sha256((photographs / "6" / "1.png").read_bytes()).hexdigest(), "stage_light")[0],
    )
    dark = {"stage_light": lambda image, seed: real(image, seed) if seed != first else Image.new("RGB", image.size)}
    monkeypatch.setattr(shifting, "LOOKS", {**shifting.LOOKS, **dark})
    for _ in range(2):
        procedural.main(tmp_path / "out", images=photographs)
        counts = "oil_painting 2 there, 1 thrown away (1 black); stage_light 2 there, 2 thrown away (2 black)"
        assert counts in capsys.readouterr().out
    rows = read_table(tmp_path / "out" / "stage_light")
    assert [row["file"] for row in rows] == ["6/00000.png", "6/00001.png", None]
    assert rows[1]["seed"] != first and rows[1]["thrown_away"] == [{"seed": first, "flaw": "black"}]
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4


def test_a_photograph_that_was_replaced_is_shifted_again(tmp_path: Path, pictures) -> None:
    photographs = pictures(tmp_path / "photographs", {"6": 2})
    procedural.main(tmp_path / "out", images=photographs)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")}
    pictures(tmp_path / "others", {"6": 1}, seed=9)
    (tmp_path / "others/6/0.png").replace(photographs / "6" / "1.png")
    procedural.main(tmp_path / "out", images=photographs)
    changed = {path.name for path, data in before.items() if path.read_bytes() != data}
    assert changed == {"00001.png"}
    Image.new("RGB", (40, 36)).save(photographs / "6" / "1.png")
    procedural.main(tmp_path / "out", images=photographs)
    assert {path.name for path in (tmp_path / "out").rglob("*.png")} == {"00000.png"}, "it shows nothing now"


def test_a_folder_whose_table_is_older_is_brought_up_to_date(tmp_path: Path, pictures) -> None:
    """Its rows had neither number nor hash of the image, and nothing of what was thrown away."""
    photographs = pictures(tmp_path / "photographs", {"6": 1})
    procedural.main(tmp_path / "out", images=photographs)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    table = tmp_path / "out" / "stage_light"
    old = ("file", "class_index", "source_id", "source_sha256", "seed", "scores")
    write_table(table, [{name: row[name] for name in old} for row in read_table(table)])
    procedural.main(tmp_path / "out", images=photographs)
    assert {path: path.read_bytes() for path in before} == before


def test_a_stopped_build_goes_on_with_the_images_that_are_made(
    built: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    shift = shifting.shift

    def stopping_shift(image: Image.Image, look: str, seeds: list[int]) -> Made:
        if len(made) == stop_at:
            raise KeyboardInterrupt
        made.append(look)
        return shift(image, look, seeds)

    monkeypatch.setattr(shifting, "shift", stopping_shift)
    monkeypatch.setattr(shifting, "AT_ONCE", 2)
    stop_at = 13
    with pytest.raises(KeyboardInterrupt) as stop:
        procedural.build(tmp_path / "out", limit=10)
    assert how_to_go_on(stop.value) == "the same command goes on with what is made"
    assert not (tmp_path / "out").exists()
    stop_at = -1
    assert procedural.build(tmp_path / "out", limit=10) == built[1]
    assert len(made) == 20 + 1, "one of thirteen had not been written"
    assert contents(tmp_path / "out") == contents(built[0])
    assert not list(tmp_path.glob(".*")), "nothing is left beside it"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
