"""The layouts of the four sources: groups, labels, credits; and the errors for folders that mean nothing."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.images.open import open_images
from benchmark.labels import imagenet
from benchmark.labels.names import class_index, known_class
from benchmark.subsets import locality, natural, oil_painting, own, stage_light
from benchmark.subsets.subset import paper_groups
from tests.benchmark import released
from tests.benchmark.released import numbered, zipped

# The paper's lists; "piano" and "cabbage" are no classes of ImageNet, which has grand and upright, head and other ones.
OIL = (
    "stingray, bullfrog, box turtle, garter snake, harvestman, crayfish, hermit crab, mongoose, rhinoceros beetle, "
    "weevil, wood rabbit, capuchin, African elephant, breastplate, drumstick, envelope, hand blower, shovel, spatula, "
    "syringe, wine bottle, corn"
)
STAGE = (
    "barrel, coffee mug, washer, jack-o'-lantern, vase, throne, soccer ball, basketball, car wheel, vacuum, birdhouse, "
    "laptop, grand piano, pool table, carousel, jellyfish, convertible, motor scooter, mask, sewing machine, hay, "
    "gasmask, bell pepper, drum, table lamp, backpack, hen, tennis ball, safe, pay-phone, head cabbage, pineapple"
)


def put(folder: Path, names: list[str], first: int = 0) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(numbered(first + number))
    return folder


def table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_every_class_is_found_by_index_synset_and_name() -> None:
    twice = {name for name, count in Counter(map(str.casefold, imagenet.names())).items() if count > 1}
    for index, (synset, name) in enumerate(zip(imagenet.synsets(), imagenet.names(), strict=True)):
        assert class_index(str(index)) == class_index(synset) == index
        if name.casefold() in twice:  # crane, maillot, and the dog Cardigan
            with pytest.raises(UserError, match=f"{index}.*use the index"):
                class_index(name)
        else:
            assert class_index(name) == index
            assert class_index(name.upper().replace(" ", "_")) == index
    assert class_index("maillot, tank suit") == 639
    assert class_index("African_chameleon") == 47
    assert [class_index(name) for name in ("1000", "-1", "²", "n00000001", "", "890_x", "Cofee_Mug")] == [None] * 7
    with pytest.raises(UserError, match=r'there: .*did you mean "volleyball"'):
        known_class("volley ball", "there")


def test_the_generated_groups_have_the_papers_classes() -> None:
    assert {class_index(name) for name in OIL.split(", ")} == oil_painting.CLASSES
    assert {class_index(name) for name in STAGE.split(", ")} == set(stage_light.CLASSES.values())
    assert (len(oil_painting.CLASSES), len(stage_light.CLASSES)) == (22, 32)


def test_natural_groups_by_label_name_and_id(tmp_path: Path) -> None:
    folders = [(group, name) for group in natural.GROUPS for name in (f"{group.label}_x", group.id, group.name)]
    put(tmp_path / "in", [f"{name}/1.jpg" for _, name in folders] + ["water_tower-beacon/2.jpg"])
    source = natural.read(open_images(tmp_path / "in", files=True))
    by_name = {image.name: image for image in source.images}
    for group, name in folders:
        row = by_name[f"{name}/1.jpg"].row()
        assert (row["group_id"], row["group"], row["subset"], row["label"]) == (
            group.id, group.name, "natural", group.label,
        )  # fmt: skip
        assert f"{row['strong_prediction']}-{row['base_prediction']}" == group.id
        assert row["class_name"] == imagenet.names()[row["label"]]
        assert "is not known" in row["licence"]
    assert by_name["water_tower-beacon/2.jpg"].label == 900
    assert len(natural.GROUPS) == 16 and "owners and links are unknown" in source.notes[0]


@pytest.mark.parametrize("name", ["891_x/1.jpg", "1.jpg", "volleybal-basketball/1.jpg", "890_x/deep/1.jpg"])
def test_a_natural_folder_that_is_no_group_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no natural group") as error:
        natural.read(open_images(zipped(tmp_path / "a.zip", {name: numbered(0)}), files=True))
    assert f"a.zip/{Path(name).parent}" in str(error.value)


def test_natural_images_carry_owner_licence_and_link(tmp_path: Path) -> None:
    put(tmp_path / "in", ["volleyball-basketball/1.jpg", "890-430/2.jpg"])
    row = {
        "file": "volleyball-basketball/1.jpg",
        "owner": "A, B",
        "licence": "CC-BY-2.0",
        "licence_url": "https://creativecommons.org/licenses/by/2.0/",
        "page_url": "https://flickr.com/photos/1/2",
        "title": "At the net",
    }
    table(tmp_path / "in" / "attribution.csv", [row, {**row, "file": "890-430/2.jpg", "title": "", "licence_url": ""}])
    source = natural.read(open_images(tmp_path / "in", files=True))
    bare, full = (image.row() for image in source.images)
    assert full["licence"] == bare["licence"] == "CC-BY-2.0"
    assert full["attribution"] == f'"At the net" by A, B, {row["page_url"]}, {row["licence_url"]}'
    assert bare["attribution"] == f"by A, B, {row['page_url']}"
    assert source.notes == []
    unknown = {**row, "owner": "", "page_url": "", "licence": ""}
    table(tmp_path / "in" / "attribution.csv", [unknown, {**unknown, "file": "890-430/2.jpg"}])
    assert {image.row()["attribution"] for image in natural.read(open_images(tmp_path / "in", files=True)).images} == {
        natural.UNKNOWN.owner
    }
    put(tmp_path / "in", ["890-430/3.jpg"])
    with pytest.raises(UserError, match=r"890-430/3\.jpg: attribution\.csv has no row"):
        natural.read(open_images(tmp_path / "in", files=True))
    table(tmp_path / "in" / "attribution.csv", [{"file": "890-430/3.jpg", "owner": "A"}])
    with pytest.raises(UserError, match="lacks the column licence"):
        natural.read(open_images(tmp_path / "in", files=True))
    (tmp_path / "in" / "attribution.csv").write_bytes(b"file,owner\n\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        natural.read(open_images(tmp_path / "in", files=True))


def test_oil_paintings_by_class(tmp_path: Path) -> None:
    source = oil_painting.read(open_images(released.oil_paintings(tmp_path / "oil", 44), files=True))
    assert Counter(image.label for image in source.images) == dict.fromkeys(oil_painting.CLASSES, 2)
    for name, why in (("tench", "none of the 22 classes"), ("stingrey", 'did you mean "stingray"'), ("crane", "134")):
        with pytest.raises(UserError, match=why):
            oil_painting.read(open_images(put(tmp_path / name, [f"{name}/1.png"]), files=True))
    with pytest.raises(UserError, match="beside the folders of classes"):
        oil_painting.read(open_images(put(tmp_path / "flat", ["1.png"]), files=True))


def test_stage_light_from_pugs_csv(tmp_path: Path) -> None:
    """Rows of other classes and of other factors are left out, though the csv names them."""
    tree = open_images(released.pug(tmp_path / "PUG", 70), files=True)
    source = stage_light.read(tree)
    assert len(source.images) == 70
    for image in source.images:
        row = image.row()
        label = image.name.split("/")[1]
        assert row["label"] == stage_light.CLASSES[label]
        assert row["drawing"].startswith(f"pug/{label}_")
        assert (row["group_id"], row["licence"]) == ("18", "CC-BY-NC-4.0")
    assert Counter(Counter(image.row()["drawing"] for image in source.images).values()) == {released.LIGHTS: 10}
    assert "Mask" in source.notes[0] and "579" in source.notes[0]

    gone = tmp_path / "PUG" / source.images[0].name
    gone.unlink()
    with pytest.raises(UserError, match=gone.name):
        stage_light.read(open_images(tmp_path / "PUG", files=True))
    (tmp_path / "PUG" / stage_light.LABELS_CSV).unlink()
    with pytest.raises(UserError, match=r"labels_pug_imagenet\.csv is missing"):
        stage_light.read(open_images(tmp_path / "PUG", files=True))


def test_stage_light_by_class_and_with_bare_file_names(tmp_path: Path) -> None:
    """PUG's mistyped names, and proper ones; and a csv whose `filename` has no folders in it."""
    source = stage_light.read(open_images(put(tmp_path / "a", ["Cofee_Mug/1.png", "hen/2.png"]), files=True))
    assert [image.label for image in source.images] == [8, 504]
    put(tmp_path / "b", ["Scene_Light/Piano/1.png"])
    row = {"filename": "1.png", "character_name": "p", "character_label": "Piano", "scene_light": "2.0"}
    table(tmp_path / "b" / stage_light.LABELS_CSV, [row])
    (image,) = stage_light.read(open_images(tmp_path / "b", files=True)).images
    assert (image.name, image.label) == ("Scene_Light/Piano/1.png", 579)
    table(tmp_path / "b" / stage_light.LABELS_CSV, [{**row, "filename": "../../b/Scene_Light/Piano/1.png"}])
    (image,) = stage_light.read(open_images(tmp_path / "b", files=True)).images
    assert image.name == "Scene_Light/Piano/1.png", "only names that are in the folder are ever opened"


def test_the_released_locality_set_has_no_labels(tmp_path: Path) -> None:
    source = locality.read(open_images(released.locality(tmp_path / "Sensitive-Images.zip", 6), files=True))
    rows = [image.row() for image in source.images]
    assert source.labels == "unknown" and {row["label"] for row in rows} == {None}
    assert {row["label_origin"] for row in rows} == {locality.UNKNOWN}
    assert Counter(row["source"] for row in rows) == {
        "ImageNet-1k": 2, "ImageNet-Sketch": 2, "ImageNet-1k, ImageNet-R or ImageNet-Sketch": 2,
    }  # fmt: skip


def test_a_locality_set_by_class_and_its_selection(tmp_path: Path) -> None:
    import hashlib

    names = ["n04540053/a.jpg", "890/b.jpg", "pier/c.jpg"]
    tree = open_images(put(tmp_path / "in", names), files=True)
    assert {image.name: image.label for image in locality.read(tree).images} == dict(
        zip(names, (890, 890, 718), strict=True)
    )
    rows = [
        {
            "sha256": hashlib.sha256((tmp_path / "in" / name).read_bytes()).hexdigest(),
            "source": "ImageNet-R", "source_id": f"there/{name}", "label": label, "margin": 0.01 * label,
        }
        for name, label in zip(names, (890, 890, 718), strict=True)
    ]  # fmt: skip
    table(tmp_path / "in" / locality.SELECTION, rows)
    source = locality.read(open_images(tmp_path / "in", files=True))
    assert source.labels == "folder"
    for image in source.images:
        row = image.row()
        assert (row["source"], row["source_id"]) == ("ImageNet-R", f"there/{image.name}")
        assert row["margin"] == pytest.approx(0.01 * row["label"])
        assert row["base_prediction"] == row["label"]
    for change, why in (({"label": 1}, "says class 1"), ({"margin": "wide"}, "margin"), ({"sha256": "0"}, "no row")):
        table(tmp_path / "in" / locality.SELECTION, [{**rows[0], **change}, *rows[1:]])
        with pytest.raises(UserError, match=why):
            locality.read(open_images(tmp_path / "in", files=True))
    with pytest.raises(UserError, match="no ImageNet class"):
        locality.read(open_images(put(tmp_path / "other", ["pier/1.jpg", "piers/2.jpg"]), files=True))


def test_the_groups_of_the_stand_ins_are_the_papers() -> None:
    assert released.NATURAL.keys() == {group.id for group in paper_groups() if group.subset == "natural"}
    assert released.OIL_PAINTING + released.STAGE_LIGHT == 1952


def test_a_table_names_files_as_another_system_spelled_them(tmp_path: Path) -> None:
    """Some systems decompose accents when they unpack an archive, and people change the case of suffixes."""
    put(tmp_path / "in", ["890-430/E\u0301ve.jpg", "890-430/a.jpg", "890-430/A.jpg"])
    row = {"owner": "A", "licence": "CC-BY-2.0", "licence_url": "", "page_url": "https://flickr.com/1", "title": ""}
    names = {"890-430/\u00c9ve.JPG": "Eve", "890-430/a.jpg": "small", "890-430/A.jpg": "large"}
    table(tmp_path / "in" / "attribution.csv", [{**row, "file": name, "owner": owner} for name, owner in names.items()])
    for subset in (natural, own):
        folder = tmp_path / "in"
        if subset is own:
            folder = (tmp_path / "in").rename(tmp_path / "own")
            (folder / "890-430").rename(folder / "890_x")
            renamed = [{**row, "file": name.replace("890-430", "890_x"), "owner": o} for name, o in names.items()]
            table(folder / "attribution.csv", renamed)
        images = subset.read(open_images(folder, files=True)).images
        owners = {Path(image.name).name: image.row()["attribution"].split(",")[0] for image in images}
        assert owners == {"E\u0301ve.jpg": "by Eve", "a.jpg": "by small", "A.jpg": "by large"}
    (tmp_path / "own" / "890_E\u0301ve").mkdir()
    put(tmp_path / "own", ["890_E\u0301ve/1.jpg", "890_\u00e9ve/2.jpg"])
    (tmp_path / "own" / "attribution.csv").unlink()
    with pytest.raises(UserError, match="the same group as"):
        own.read(open_images(tmp_path / "own", files=True))
