from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.images.decode import BrokenImage
from mad import search
from mad.review.groups import Group, read_candidates
from mad.review.images import find_images
from tests.mad.review.conftest import MEMBERS


def test_groups_and_images_in_the_order_of_the_tables(found: Path) -> None:
    candidates = read_candidates(found)
    assert [group.id for group in candidates.groups] == list(MEMBERS)
    assert [group.name for group in candidates.groups] == ["volleyball-basketball", "crane-crane"]
    asked = [(item.group.id, item.image) for item in candidates.items]
    assert asked == [(id, image) for id, images in MEMBERS.items() for image in images]


def test_what_a_search_wrote_is_read_and_its_pool_opened(models, pictures: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(
        search.main, ["--pair", f"{models[0]},{models[1]}", "--pool", str(pictures), "--out", "out", "--min-group", "1"]
    )
    candidates = read_candidates(Path("out"))
    membership = pd.read_csv("out/membership.csv")
    assert [item.image for item in candidates.items] == membership["image"].tolist()
    assert [item.group.id for item in candidates.items] == membership["group_id"].tolist()
    images = find_images(candidates)
    for item in candidates.items:
        assert images.read(item.image) == (pictures / item.image).read_bytes()


def test_the_open_embedded(found: Path) -> None:
    from benchmark.data.embedded import open_embedded

    pool = open_embedded()
    facts = {"command": {"pool": pool.title}, "pool": {"images": len(pool)}}
    (found / "search.json").write_text(json.dumps(facts))
    (found / "membership.csv").write_text(f"group_id,image\n890-430,{pool.ids[7]}\n")
    images = find_images(read_candidates(found))
    assert images.read(pool.ids[7]) == pool.read(7)
    assert images.picture(pool.ids[7]).sha256 == pool.ids[7]


def test_a_table_with_fewer_rows_reviews_those_groups_only(found: Path) -> None:
    table = pd.read_csv(found / "groups.csv")
    table.tail(1).to_csv(found / "chosen.csv", index=False)
    candidates = read_candidates(found / "chosen.csv")
    assert candidates.groups == [Group(134, 517)]
    assert [item.image for item in candidates.items] == MEMBERS["134-517"]


def test_an_image_that_stands_twice_is_asked_about_once(write_search) -> None:
    items = read_candidates(write_search({"890-430": ["a.jpg", "b.png", "a.jpg"]})).items
    assert [item.image for item in items] == ["a.jpg", "b.png"]


def test_names_stay_as_they_are(write_search, pool: Path) -> None:
    names = ["NA", "007", "1e5", "a,b\n\"c'.png", " blank.png", "<img src=x>.png"]
    assert [item.image for item in read_candidates(write_search({"890-430": names})).items] == names


@pytest.mark.parametrize("image", ["../secret.png", "/etc/passwd", "more/../../secret.png", "nowhere.jpg", ""])
def test_what_is_not_in_the_pool_is_not_read(image: str, write_search, pool: Path) -> None:
    (pool / "a.jpg").rename(pool.parent / "secret.png")
    candidates = read_candidates(write_search({"890-430": ["b.png", image]}))
    with pytest.raises(BrokenImage, match="not in the pool"):
        find_images(candidates).read(image)


def test_a_pool_that_moved_is_named(found: Path, pool: Path) -> None:
    moved = pool.rename(pool.parent / "moved")
    candidates = read_candidates(found)
    with pytest.raises(UserError, match="--pool"):
        find_images(candidates)
    assert find_images(candidates, str(moved)).read("a.jpg") == (moved / "a.jpg").read_bytes()


def test_a_folder_of_several_searches_says_which(found: Path) -> None:
    with pytest.raises(UserError, match="several searches, name one: found"):
        read_candidates(found.parent)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("groups.csv", None, "no such file"),
        ("membership.csv", None, "no such file"),
        ("search.json", None, "no such file"),
        ("search.json", "{}", "does not say"),
        ("search.json", "[]", "does not say"),
        ("search.json", '{"pool"', "does not say"),
        ("groups.csv", "", "not a table"),
        ("groups.csv", "id,size\n1,2\n", "not a table"),
        ("groups.csv", "group_id,strong_index,base_index\n1-2,1,\n", "no class index"),
        ("groups.csv", "group_id,strong_index,base_index\n1-1000,1,1000\n", "no class index"),
        ("groups.csv", "group_id,strong_index,base_index\n../../x,1,2\n", "the classes of 1-2"),
        ("groups.csv", "group_id,strong_index,base_index\n1-2,1,2\n", "nothing to review"),
        ("groups.csv", "group_id,strong_index,base_index\n", "nothing to review"),
        ("membership.csv", "group_id,image\n", "nothing to review"),
    ],
)
def test_tables_that_are_none(file: str, text: str | None, message: str, found: Path) -> None:
    (found / file).unlink()
    if text is not None:
        (found / file).write_text(text)
    with pytest.raises(UserError, match=message):
        read_candidates(found)
