"""The stage-light images: PUG's, picked by its csv, and a model's."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images.open import open_images
from benchmark.subsets.stage_light import read
from generation import stage_light
from generation.core.folder import read_table
from tests.benchmark.released import numbered

HEAD = "filename,world_name,character_name,character_label,character_texture,scene_light\n"


@pytest.fixture
def pug(tmp_path: Path) -> Path:
    """PUG's root: two assets of a class under light, one of a class that is none of the 32, one under no light."""
    rows = [
        ("0.png", "Table_Lamb", "lamp_a", "Red"),
        ("1.png", "Table_Lamb", "lamp_b", "Blue"),
        ("2.png", "Cofee_Mug", "mug", "Green"),
        ("3.png", "Elephant", "elephant", "Green"),
        ("4.png", "Cofee_Mug", "mug", "default"),
    ]
    root = tmp_path / "PUG_ImageNet"
    for number, (file, label, _, _) in enumerate(rows):
        path = root / "Scene_Light" / label / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(numbered(number))
    lines = [f"{file},world,{asset},{label},texture,{light}\n" for file, label, asset, light in rows]
    (root / "labels_pug_imagenet.csv").write_text(HEAD + "".join(lines))
    return root


def test_pugs_csv_decides_and_the_bytes_stay(pug: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "light"
    for _ in range(2):  # the same command may come again
        stage_light.main(out, pug=pug)
        assert "3 images of 2 classes (the paper has 1,092 of 32)" in capsys.readouterr().out
    rows = read_table(out)
    assert [(row["file"], row["drawing"]) for row in rows] == [
        ("504/00000.png", "pug/mug"),
        ("846/00000.png", "pug/lamp_a"),
        ("846/00001.png", "pug/lamp_b"),
    ]
    assert [(out / row["file"]).read_bytes() for row in rows] == [numbered(2), numbered(0), numbered(1)]
    assert {row["licence"] for row in rows} == {"CC-BY-NC-4.0"}
    assert sorted(image.label for image in read(open_images(out, files=True)).images) == [504, 846, 846], (
        "benchmark.build takes it"
    )


def test_a_rendering_that_shows_nothing_is_left_out_and_counted(
    pug: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    Image.new("RGB", (64, 64), (3, 3, 3)).save(pug / "Scene_Light" / "Table_Lamb" / "0.png")
    stage_light.main(tmp_path / "light", pug=pug)
    counts = "2 images of 2 classes (the paper has 1,092 of 32), 1 thrown away (1 of one colour)"
    assert counts in capsys.readouterr().out
    rows = read_table(tmp_path / "light")
    assert [(row["file"], row["drawing"]) for row in rows] == [
        ("504/00000.png", "pug/mug"), (None, "pug/lamp_a"), ("846/00000.png", "pug/lamp_b")
    ]  # fmt: skip
    assert len(list((tmp_path / "light").rglob("*.png"))) == 2


def test_some_classes_only(pug: Path, tmp_path: Path) -> None:
    stage_light.main(tmp_path / "light", pug=pug, classes=("coffee mug",))
    assert [row["class_index"] for row in read_table(tmp_path / "light")] == [504]
    with pytest.raises(UserError, match=r"holds another set of generated images \(its classes is"):
        stage_light.main(tmp_path / "light", pug=pug)
    with pytest.raises(UserError, match="no image under varying light"):
        stage_light.main(tmp_path / "none", pug=pug, classes=("grand piano",))


def test_a_model_paints_with_the_label_in_the_prompt(pipeline_folder: Path, tmp_path: Path) -> None:
    stage_light.main(tmp_path / "light", model=str(pipeline_folder), classes=("427",), per_class=2, steps=2, size=12)
    rows = read_table(tmp_path / "light")
    assert [row["seed"] for row in rows] == [427_000_000, 427_000_001]
    assert {row["prompt"] for row in rows} == {"a photo of a barrel under stage light"}


def test_one_way_at_a_time(tmp_path: Path, pug: Path) -> None:
    with pytest.raises(UserError, match="either --pug DIR or --model ID"):
        stage_light.main(tmp_path / "light")
    with pytest.raises(UserError, match="either --pug DIR or --model ID"):
        stage_light.main(tmp_path / "light", pug=pug, model="x")
