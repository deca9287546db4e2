from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from benchmark.cli import run
from mad import report, search


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and small sheets: most of a search's time here is compressing them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "THUMBNAIL", 40)


def call(*arguments: object) -> None:
    run(search.main, [str(argument) for argument in arguments])


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that the command says on its way out with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        call(*arguments)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return [line for line in said.splitlines() if line.startswith("error: ")][-1]


@pytest.fixture
def pair(models: tuple[Path, Path]) -> str:
    return f"{models[0]},{models[1]}"


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
    for who in ("base", "strong"):
        assert (joined[f"{who}_index_x"] == joined[f"{who}_index_y"]).all()
        assert (joined[f"{who}_class_x"] == joined[f"{who}_class_y"]).all()
    assert (groups["group"] == groups["strong_class"] + "-" + groups["base_class"]).all()

    sheets = {path.stem for path in (out / "sheets").iterdir()}
    assert sheets == {"ranking", *groups["group_id"].head(12)}
    for sheet in (out / "sheets").iterdir():
        Image.open(sheet).verify()
    said = capsys.readouterr().out
    assert f"pool: {pictures}, 30 images" in said
    assert "sheets/ranking.png" in said and groups["group_id"][0] in said


def test_the_first_of_the_pair_is_the_base(models, pictures: Path, tmp_path: Path) -> None:
    call("--pair", f"{models[0]},{models[1]}", "--pool", pictures, "--out", tmp_path / "a")
    call("--pair", f"{models[1]},{models[0]}", "--pool", pictures, "--out", tmp_path / "b")
    one, other = (pd.read_csv(tmp_path / name / "ranking.csv").set_index("image") for name in "ab")
    assert (one["base_index"] == other["strong_index"].reindex(one.index)).all()
    assert json.loads((tmp_path / "a" / "search.json").read_text())["base"]["name"] == str(models[0])


def test_the_same_command_gives_the_same_files(pair, pictures: Path, tmp_path: Path) -> None:
    (pictures / "broken.png").write_text("no image")
    arguments = ["--pair", pair, "--pool", pictures, "--diverse", "--distance", "weighted", "--over", "mean"]
    call(*arguments, "--out", tmp_path / "one")
    first = results(tmp_path / "one")
    call(*arguments, "--out", tmp_path / "two", "--cache", tmp_path / "another")
    assert results(tmp_path / "two") == first
    call(*arguments, "--out", tmp_path / "one")  # over its own results, from the predictions it kept
    assert results(tmp_path / "one") == first


def test_other_rules_ask_the_models_nothing_new(pair, pictures: Path, tmp_path: Path, monkeypatch) -> None:
    from benchmark import predict

    call("--pair", pair, "--pool", pictures, "--out", tmp_path / "one")
    monkeypatch.setattr(predict, "top2", None)
    call("--pair", pair, "--pool", pictures, "--out", tmp_path / "two", "--min-probability", 0.3)
    one, two = (pd.read_csv(tmp_path / name / "ranking.csv") for name in ("one", "two"))
    assert 0 < len(two) < len(one)


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
    alias, rival = "test_vit", f"test_vit={files[1]}"
    own = ["--weights", f"{alias}={files[0]}"]
    call("--pair", f"{alias},{rival}", *own, "--pool", pictures, "--out", tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "search.json").read_text())
    assert facts["base"]["weights_sha256"] != facts["strong"]["weights_sha256"]
    assert facts["base"]["preprocessing"]["size"] == 160


# -- what is wrong with a pool


def test_broken_images_are_skipped_counted_and_listed(pair, pictures: Path, tmp_path: Path, capsys) -> None:
    whole = (pictures / "01.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "page.jpg").write_text("<html>404</html>")
    (pictures / "empty.webp").touch()
    call("--pair", pair, "--pool", pictures, "--out", tmp_path / "out")
    skipped = pd.read_csv(tmp_path / "out" / "skipped.csv")
    assert sorted(skipped["image"]) == ["cut.png", "empty.webp", "page.jpg"]
    assert skipped["error"].str.len().min() > 0
    assert "3 skipped" in capsys.readouterr().out
    assert "page.jpg" in (tmp_path / "out" / "report.html").read_text()


def test_a_pool_of_nothing_but_broken_images(pair, tmp_path: Path, capsys) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.jpg").write_text("no image")
    said = fails(capsys, "--pair", pair, "--pool", tmp_path / "pool", "--out", tmp_path / "out")
    assert "no image of" in said and "skipped.csv" in said
    assert pd.read_csv(tmp_path / "out" / "skipped.csv")["image"].tolist() == ["a.jpg"]


def test_an_empty_pool(pair, tmp_path: Path, capsys) -> None:
    (tmp_path / "pool").mkdir()
    assert "no images" in fails(capsys, "--pair", pair, "--pool", tmp_path / "pool", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hostile_file_names(pair, pictures: Path, tmp_path: Path, capsys) -> None:
    hostile = ["<img src=x onerror=alert(1)>.png", "[red]\x1b[31m{{ 7 * 7 }}.png", "a,b\n\"c'.png"]
    for picture, name in zip(sorted(pictures.glob("*.png")), hostile, strict=False):
        picture.rename(pictures / name)
    for picture in pictures.glob("[0-9]*.png"):
        picture.unlink()
    (pictures / "<script>broken.png").write_text("no image")
    call("--pair", pair, "--pool", pictures, "--out", tmp_path / "out", "--min-group", 1)
    html = (tmp_path / "out" / "report.html").read_text()
    assert "<img src=x" not in html and "<script" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html and "{{ 7 * 7 }}" in html
    assert "\x1b" not in capsys.readouterr().out
    assert set(hostile) <= set(pd.read_csv(tmp_path / "out" / "ranking.csv")["image"])


def test_models_that_never_disagree(models, pictures: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    from benchmark import predict

    def agree(*arguments, **options) -> pd.DataFrame:
        return asked(*arguments, **options).assign(base_label=1, strong_label=1)

    asked = predict.predict
    monkeypatch.setattr(predict, "predict", agree)
    call("--pair", f"{models[0]},{models[1]}", "--pool", pictures, "--out", tmp_path / "out", "--diverse")
    assert "0 of 30 images divide the models" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").is_file()
    assert len(pd.read_csv(tmp_path / "out" / "groups.csv")) == 0


# -- what is wrong with a command


def test_an_unknown_model_is_answered_with_the_nearest(tmp_path: Path, pictures: Path, capsys) -> None:
    said = fails(capsys, "--pair", "vitb61,clip-vitb16", "--pool", pictures, "--out", tmp_path / "out")
    assert 'did you mean "vitb16"?' in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pair", "mini"], "--pair takes BASE,STRONG"),
        (["--pair", "mini,"], "--pair takes BASE,STRONG"),
        (["--pair", "a,b,c"], "--pair takes BASE,STRONG"),
        (["--weights", "mini"], "--weights takes ALIAS=FILE"),
        (["--weights", "mini-stong=x.safetensors"], 'did you mean "mini-strong"?'),
        (["--min-probability", "80"], "between 0 and 1"),
        (["--min-group", "0"], "at least 1"),
        (["--batch-size", "0"], "at least 1"),
    ],
)
def test_senseless_options(arguments, message: str, pictures: Path, tmp_path: Path, capsys) -> None:
    assert message in fails(capsys, "--pool", pictures, "--out", tmp_path / "out", *arguments)


def test_one_model_is_no_competition(models, pictures: Path, tmp_path: Path, capsys) -> None:
    said = fails(capsys, "--pair", f"{models[0]},{models[0]}", "--pool", pictures, "--out", tmp_path / "out")
    assert "the same model" in said


def test_a_folder_with_something_else_in_it_is_left_alone(pair, pictures: Path, tmp_path: Path, capsys) -> None:
    search_here = ["--pair", pair, "--pool", pictures, "--out", tmp_path / "out"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ranking.csv").write_text("mine")
    assert "holds no search" in fails(capsys, *search_here)
    assert (tmp_path / "out" / "ranking.csv").read_text() == "mine"
    call(*search_here, "--overwrite")
    assert "another search" in fails(capsys, *search_here, "--diverse")
    call(*search_here, "--diverse", "--overwrite")
