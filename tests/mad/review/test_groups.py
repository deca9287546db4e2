from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.images.decode import BrokenImage
from mad import search
from mad.review.groups import ClassPair, read_candidates
from mad.review.images import find_images
from tests.mad.review.conftest import MEMBERS


def test_groups_and_images_in_the_order_of_the_tables(search_folder: Path) -> None:
    candidates = read_candidates(search_folder)
    assert [pair.id for pair in candidates.pairs] == list(MEMBERS)
    assert [pair.name for pair in candidates.pairs] == ["volleyball-basketball", "crane-crane"]
    keys = [(image.pair.id, image.name) for image in candidates.images]
    assert keys == [(id, name) for id, names in MEMBERS.items() for name in names]


def test_what_a_search_wrote_is_read_and_its_pool_opened(models, pictures: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(
        search.main, ["--pair", f"{models[0]},{models[1]}", "--pool", str(pictures), "--out", "out", "--min-group", "1"]
    )
    candidates = read_candidates(Path("out"))
    membership = pd.read_csv("out/membership.csv")
    assert [image.name for image in candidates.images] == membership["image"].tolist()
    assert [image.pair.id for image in candidates.images] == membership["group_id"].tolist()
    pool_images = find_images(candidates)
    for image in candidates.images:
        assert pool_images.read(image.name) == (pictures / image.name).read_bytes()


def test_the_embedded_pool_is_opened(search_folder: Path) -> None:
    from benchmark.data.embedded import open_embedded

    pool = open_embedded("mini")
    note = {"command": {"pool": pool.title}, "pool": {"images": len(pool)}}
    (search_folder / "search.json").write_text(json.dumps(note))
    (search_folder / "membership.csv").write_text(f"group_id,image\n890-430,{pool.ids[7]}\n")
    pool_images = find_images(read_candidates(search_folder))
    assert pool_images.read(pool.ids[7]) == pool.read(7)
    assert pool_images.render(pool.ids[7]).sha256 == pool.ids[7]


def test_a_table_with_fewer_rows_reviews_those_groups_only(search_folder: Path) -> None:
    table = pd.read_csv(search_folder / "groups.csv")
    table.tail(1).to_csv(search_folder / "chosen.csv", index=False)
    candidates = read_candidates(search_folder / "chosen.csv")
    assert candidates.pairs == [ClassPair(134, 517)]
    assert [image.name for image in candidates.images] == MEMBERS["134-517"]


def test_an_image_that_stands_twice_is_asked_about_once(write_search) -> None:
    images = read_candidates(write_search({"890-430": ["a.jpg", "b.png", "a.jpg"]})).images
    assert [image.name for image in images] == ["a.jpg", "b.png"]


def test_names_stay_as_they_are(write_search, pool: Path) -> None:
    names = ["NA", "007", "1e5", "a,b\n\"c'.png", " blank.png", "<img src=x>.png"]
    assert [image.name for image in read_candidates(write_search({"890-430": names})).images] == names


@pytest.mark.parametrize("image", ["../secret.png", "/etc/passwd", "more/../../secret.png", "nowhere.jpg", ""])
def test_what_is_not_in_the_pool_is_not_read(image: str, write_search, pool: Path) -> None:
    (pool / "a.jpg").rename(pool.parent / "secret.png")
    candidates = read_candidates(write_search({"890-430": ["b.png", image]}))
    with pytest.raises(BrokenImage, match="not in the pool"):
        find_images(candidates).read(image)


def test_a_pool_that_moved_is_named(search_folder: Path, pool: Path) -> None:
    moved = pool.rename(pool.parent / "moved")
    candidates = read_candidates(search_folder)
    with pytest.raises(UserError, match="--pool"):
        find_images(candidates)
    assert find_images(candidates, str(moved)).read("a.jpg") == (moved / "a.jpg").read_bytes()


def test_a_folder_of_several_searches_says_which(search_folder: Path) -> None:
    with pytest.raises(UserError, match="several searches, name one: search"):
        read_candidates(search_folder.parent)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("groups.csv", None, "no such file"),
        ("membership.csv", None, "no such file"),
        ("search.json", None, "no such file"),
        ("search.json", "{}", "must name the searched pool"),
        ("search.json", "[]", "must hold an object of JSON"),
        ("search.json", '{"pool"', "no JSON that can be read"),
        ("groups.csv", "", "lacks the column"),
        ("groups.csv", "id,size\n1,2\n", "lacks the column group_id"),
        ("groups.csv", "group_id,strong_index,base_index\n1-2,1,\n", "a class index must be"),
        ("groups.csv", "group_id,strong_index,base_index\n1-1000,1,1000\n", "a class index must be"),
        ("groups.csv", "group_id,strong_index,base_index\n../../x,1,2\n", "the classes of 1-2"),
        ("groups.csv", "group_id,strong_index,base_index\n1-2,1,2\n", "nothing to review"),
        ("groups.csv", "group_id,strong_index,base_index\n", "nothing to review"),
        ("membership.csv", "group_id,image\n", "nothing to review"),
    ],
)
def test_tables_that_are_none(file: str, text: str | None, message: str, search_folder: Path) -> None:
    (search_folder / file).unlink()
    if text is not None:
        (search_folder / file).write_text(text)
    with pytest.raises(UserError, match=message):
        read_candidates(search_folder)


def test_images_are_found_in_a_pool_whose_names_another_system_spells(write_search, pool: Path) -> None:
    (pool / "a.jpg").rename(pool / "e\u0301.jpg")
    candidates = read_candidates(write_search({"890-430": ["\u00c9.jpg", "b.png", "B.jpg"]}))
    pool_images = find_images(candidates)
    assert pool_images.read("\u00c9.jpg") == (pool / "e\u0301.jpg").read_bytes()
    assert [*pool_images.positions] == ["\u00c9.jpg", "b.png"]
