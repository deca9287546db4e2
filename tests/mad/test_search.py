from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.core.checksums import read_checksums
from benchmark.models.load import BaseModel
from mad.mining.models import name_folders
from tests.mad.searching import call, fails

pytestmark = pytest.mark.usefixtures("elsewhere")


def results(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


# -- what it finds


def test_a_search_writes_tables_that_agree(pair, pictures: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    call("--pair", pair, "--pool", pictures, "--out", out, "--min-group", 1)

    ranking, groups, membership, skipped = (
        pd.read_csv(out / f"{name}.csv") for name in ("ranking", "groups", "membership", "skipped")
    )
    assert len(skipped) == 0 and len(ranking) > 10
    assert ranking["distance"].is_monotonic_decreasing
    assert (ranking["base_index"] != ranking["strong_index"]).all()
    assert set(ranking["image"]) <= {str(p.relative_to(pictures)) for p in pictures.rglob("*.png")}
    assert groups["size"].is_monotonic_decreasing
    assert groups["size"].tolist() == membership["group_id"].value_counts()[groups["group_id"]].tolist()
    joined = membership.merge(groups, on="group_id").merge(ranking, on=["image", "rank"])
    assert len(joined) == len(ranking) == groups["size"].sum()
    for role in ("base", "strong"):
        assert (joined[f"{role}_index_x"] == joined[f"{role}_index_y"]).all()
        assert (joined[f"{role}_class_x"] == joined[f"{role}_class_y"]).all()
    assert (groups["group"] == groups["strong_class"] + "-" + groups["base_class"]).all()

    sheets = {path.stem for path in (out / "sheets").iterdir()}
    assert sheets == {"ranking", *groups["group_id"].head(12)}
    for sheet in (out / "sheets").iterdir():
        Image.open(sheet).verify()
    printed = capsys.readouterr().out
    assert f"pool: {pictures}, 30 images" in printed
    assert "sheets/ranking.png" in printed and groups["group_id"][0] in printed


def test_the_first_of_the_pair_is_the_base(models, pictures: Path, tmp_path: Path) -> None:
    call("--pair", f"{models[0]},{models[1]}", "--pool", pictures, "--out", tmp_path / "a")
    call("--pair", f"{models[1]},{models[0]}", "--pool", pictures, "--out", tmp_path / "b")
    forth, back = (pd.read_csv(tmp_path / name / "ranking.csv").set_index("image") for name in "ab")
    assert (forth["base_index"] == back["strong_index"].reindex(forth.index)).all()
    assert json.loads((tmp_path / "a" / "search.json").read_text())["base"]["name"] == str(models[0])


def test_the_same_command_gives_the_same_files(pair, pictures: Path, tmp_path: Path, monkeypatch) -> None:
    (pictures / "broken.png").write_text("no image")
    arguments = ["--pair", pair, "--pool", pictures, "--diverse", "--distance", "weighted", "--over", "mean"]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    call(*arguments, "--out", "out")
    first = results(Path("out"))
    monkeypatch.setenv("VIT_EDIT_BENCH_CACHE", str(tmp_path / "another"))
    monkeypatch.chdir(tmp_path / "two")
    call(*arguments, "--out", "out")
    assert (tmp_path / "another" / "predictions").is_dir()
    assert results(Path("out")) == first
    monkeypatch.chdir(tmp_path / "one")
    call(*arguments, "--out", "out")  # over its own results, from the predictions it kept
    assert results(Path("out")) == first


def test_other_rules_ask_the_models_nothing_new(pair, pictures: Path, tmp_path: Path, monkeypatch) -> None:
    from benchmark.predict import engine as predict

    call("--pair", pair, "--pool", pictures, "--out", tmp_path / "one")
    monkeypatch.setattr(predict, "top2", None)
    call("--pair", pair, "--pool", pictures, "--out", tmp_path / "two", "--min-probability", 0.3)
    first, second = (pd.read_csv(tmp_path / name / "ranking.csv") for name in ("one", "two"))
    assert 0 < len(second) < len(first)


def test_changed_pictures_are_asked_about_again(pair, pictures: Path, tmp_path: Path) -> None:
    arguments = ["--pair", pair, "--pool", pictures, "--out", tmp_path / "out", "--min-group", 1]
    call(*arguments)
    before = results(tmp_path / "out")
    for picture in [*pictures.rglob("*.png")][1:]:
        picture.unlink()
    call(*arguments)
    after = results(tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "ranking.csv")) <= 1
    assert len([name for name in after if name.startswith("sheets")]) <= 2 < len(before)


def test_weights_of_ones_own(models, pictures: Path, tmp_path: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(5)
    state = timm.create_model("test_vit").state_dict()
    files = []
    for i in range(2):
        state["head.weight"] = torch.randn_like(state["head.weight"])
        files.append(tmp_path / f"{i}.safetensors")
        save_file(state, files[-1])
    alias, strong = "test_vit", f"test_vit={files[1]}"
    own = ["--weights", f"{alias}={files[0]}"]
    call("--pair", f"{alias},{strong}", *own, "--pool", pictures, "--out", tmp_path / "out")
    note = json.loads((tmp_path / "out" / "search.json").read_text())
    assert note["base"]["weights_sha256"] != note["strong"]["weights_sha256"]
    assert note["base"]["preprocessing"]["size"] == 160


def test_every_prediction_and_the_whole_ranking_are_in_parquet(pair, pictures: Path, tmp_path: Path) -> None:
    (pictures / "cut.png").write_text("no image")
    out = tmp_path / "out"
    call("--pair", pair, "--pool", pictures, "--out", out, "--min-group", 1)
    predictions = pd.read_parquet(out / "predictions.parquet").set_index("image")
    assert len(predictions) == 31 and predictions["error"].astype(bool).sum() == 1
    assert predictions.loc["cut.png", ["base_index", "strong_index"]].tolist() == [-1, -1]
    ranking, csv_ranking = pd.read_parquet(out / "ranking.parquet"), pd.read_csv(out / "ranking.csv")
    pd.testing.assert_frame_equal(ranking, csv_ranking, check_dtype=False, atol=1e-6)
    divided = predictions[(predictions["base_index"] != predictions["strong_index"]) & (predictions["error"] == "")]
    assert set(ranking["image"]) == set(divided.index)
    both = ranking.set_index("image").join(divided, rsuffix="_predicted")
    for column in divided.columns.drop("error"):
        assert (both[column] == both[f"{column}_predicted"]).all()


def test_all_pairs_of_three_models(models, pictures: Path, tmp_path: Path, third_model: Path, capsys) -> None:
    from benchmark.predict import engine as predict

    three = [*models, third_model]
    out = Path("three")  # below `tmp_path`
    call("--models", ",".join(map(str, three)), "--pool", pictures, "--out", out, "--min-group", 1)
    pairs = [f"{a.name}-vs-{b.name}" for a, b in itertools.combinations(three, 2)]
    assert sorted(path.name for path in out.iterdir()) == sorted([*pairs, "search.json"])
    assert json.loads((out / "search.json").read_text())["searches"] == pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "top2", None)  # nothing is asked anew
        (tmp_path / "alone").mkdir()
        patch.chdir(tmp_path / "alone")  # the report names its folder
        for (a, b), name in zip(itertools.combinations(three, 2), pairs, strict=True):
            call("--pair", f"{a},{b}", "--pool", pictures, "--out", out / name, "--min-group", 1)
            assert results(out / name) == results(tmp_path / out / name)
    assert "another search" in fails(capsys, "--models", f"{models[0]},{models[1]}", "--pool", pictures, "--out", out)


def test_models_of_one_name_have_folders_of_their_own(tmp_path: Path) -> None:
    from tests.conftest import PREPROCESSING, small_vit

    vit = small_vit()
    models = [BaseModel(name, vit, PREPROCESSING, "") for name in ("a/mini", "b/mini", "../x y", "..")]
    names = [folder.relative_to(tmp_path).as_posix() for folder in name_folders(tmp_path, models).values()]
    assert names[:3] == ["mini-vs-mini-2", "mini-vs-x-y", "mini-vs-model"]
    assert len(set(names)) == 6


def test_drafts_are_an_option_that_is_recorded(pair, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for i in range(6):
        pixels = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((640, 480)).save(tmp_path / "photos" / f"{i}.jpg")
    arguments = ["--pair", pair, "--pool", tmp_path / "photos"]
    call(*arguments, "--out", tmp_path / "full")
    call(*arguments, "--out", tmp_path / "draft", "--draft")
    full, draft = (pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("full", "draft"))
    probabilities = [f"{role}_probability" for role in ("base", "strong")]
    assert not full[probabilities].equals(draft[probabilities])  # other pixels, and not from the cache
    commands = [json.loads((tmp_path / name / "search.json").read_text())["command"] for name in ("full", "draft")]
    assert [command["draft"] for command in commands] == [None, 64]
    assert "reduced scale" in (tmp_path / "draft" / "report.html").read_text()


def test_a_crawl_brings_its_credits(pair, pictures: Path, tmp_path: Path) -> None:
    crawl, names = tmp_path / "crawled", []
    for i, picture in enumerate(sorted(pictures.rglob("*.png"))):
        sha = hashlib.sha256(picture.read_bytes()).hexdigest()
        names.append(f"images/{sha[:2]}/{sha}.png")
        (crawl / names[-1]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, crawl / names[-1])
        names[-1] = {"file": names[-1], "sha256": sha, "photo_id": f"{i}", "page_url": f"https://example.org/{i}/"}
    table = pd.DataFrame(names).assign(owner="1@N0", owner_name="<b>Ann", title='"Sea", again\nand again',
                                       licence="CC BY 2.0", licence_url="https://example.org/by")  # fmt: skip
    table.loc[0, "page_url"] = "javascript:alert(1)"
    table.to_csv(crawl / "attribution.csv", index=False)
    out = tmp_path / "out"
    call("--pair", pair, "--pool", crawl, "--out", out, "--min-group", 1)
    membership = pd.read_csv(out / "membership.csv")
    credits = pd.read_csv(out / "attribution.csv", dtype=str)
    assert set(credits["image"]) == set(membership["image"])
    joined = credits.merge(table, left_on="image", right_on="file", suffixes=("", "_table"))
    assert len(joined) == len(credits) and (joined["title"] == joined["title_table"]).all()
    html = (out / "report.html").read_text()
    assert "https://example.org/5/" in html and "&lt;b&gt;Ann" in html
    assert "javascript:" not in html and "<b>Ann" not in html
    first = read_checksums(out)
    mine = {out / "sheets" / "holiday.png": b"mine", out / "sheets" / "ranking.jpg": b"mine", out / "notes": b"mine"}
    for file, data in mine.items():
        file.write_bytes(data)
    call("--pair", pair, "--pool", pictures, "--out", out, "--min-group", 4, "--overwrite")
    assert not (out / "attribution.csv").exists()
    assert {file: file.read_bytes() for file in mine} == mine, "what no search wrote stays"
    gone = first.keys() - read_checksums(out).keys()
    assert any(name.startswith("sheets/") for name in gone) and not any((out / name).exists() for name in gone)
