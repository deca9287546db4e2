"""Errors of `mad.search` for pools, models, options and folders that will not do."""

from __future__ import annotations

import errno
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.text import printable
from tests.mad.searching import call, fails

pytestmark = pytest.mark.usefixtures("elsewhere")


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
    printed = fails(capsys, "--pair", pair, "--pool", tmp_path / "pool", "--out", tmp_path / "out")
    assert "no image of" in printed and "skipped.csv" in printed
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
    assert set(map(printable, hostile)) <= set(pd.read_csv(tmp_path / "out" / "ranking.csv")["image"])


def test_models_that_never_disagree(models, pictures: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    from benchmark.predict import engine as predict

    def agree(*arguments, **options) -> pd.DataFrame:
        return predict_images(*arguments, **options).assign(**{"0_label": 1, "1_label": 1})

    predict_images = predict.predict
    monkeypatch.setattr(predict, "predict", agree)
    call("--pair", f"{models[0]},{models[1]}", "--pool", pictures, "--out", tmp_path / "out", "--diverse")
    assert "0 of 30 images divide the models" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").is_file()
    assert len(pd.read_csv(tmp_path / "out" / "groups.csv")) == 0


def test_an_image_without_finite_logits_is_skipped_where_that_model_competes(
    models, third_model: Path, pictures: Path, tmp_path: Path, monkeypatch
) -> None:
    from benchmark.predict import engine as predict
    from benchmark.predict.store import NOT_FINITE, NOWHERE

    def blind(*arguments, **options) -> pd.DataFrame:
        predictions = predict_images(*arguments, **options)
        predictions.loc[3, ["error", "2_label"]] = NOT_FINITE, NOWHERE
        return predictions

    predict_images = predict.predict
    monkeypatch.setattr(predict, "predict", blind)
    three = [*models, third_model]
    call("--models", ",".join(map(str, three)), "--pool", pictures, "--out", tmp_path / "out")
    for pair, errors in (((0, 1), []), ((0, 2), [NOT_FINITE]), ((1, 2), [NOT_FINITE])):
        folder = tmp_path / "out" / "-vs-".join(three[number].name for number in pair)
        assert pd.read_csv(folder / "skipped.csv")["error"].tolist() == errors
        predictions = pd.read_parquet(folder / "predictions.parquet")
        assert predictions["error"].tolist() == [*[""] * 3, *(errors or [""]), *[""] * 26]


# -- what is wrong with a command


def test_an_unknown_model_is_answered_with_the_nearest(tmp_path: Path, pictures: Path, capsys) -> None:
    printed = fails(capsys, "--pair", "vitb61,clip-vitb16", "--pool", pictures, "--out", tmp_path / "out")
    assert 'did you mean "vitb16"?' in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pair", "mini"], "--pair must be BASE,STRONG"),
        (["--pair", "mini,"], "--pair must be BASE,STRONG"),
        (["--pair", "a,b,c"], "--pair must be BASE,STRONG"),
        (["--models", "mini"], "--models must be A,B,C"),
        (["--models", "mini,,mini-strong"], "--models must be A,B,C"),
        (["--models", "mini,mini-strong", "--pair", "mini,mini-strong"], "exclude each other"),
        (["--weights", "mini"], "--weights must be NAME=FILE with one of the names mini or mini-strong"),
        (["--weights", "mini-stong=x.safetensors"], 'did you mean "mini-strong"?'),
        (["--min-probability", "80"], "between 0 and 1"),
        (["--min-group", "0"], "1 or more"),
        (["--batch-size", "0"], "1 or more"),
    ],
)
def test_senseless_options(arguments, message: str, pictures: Path, tmp_path: Path, capsys) -> None:
    assert message in fails(capsys, "--pool", pictures, "--out", tmp_path / "out", *arguments)


def test_one_model_is_no_competition(models, pictures: Path, tmp_path: Path, capsys) -> None:
    printed = fails(capsys, "--pair", f"{models[0]},{models[0]}", "--pool", pictures, "--out", tmp_path / "out")
    assert "the same model" in printed


def test_weights_that_cannot_be_had(pictures: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    printed = fails(capsys, "--pair", "vitb16,clip-vitb16", "--pool", pictures, "--out", tmp_path / "out")
    assert "model.safetensors" in printed and "vitb16=FILE" in printed and "mini, mini-strong" in printed
    assert not (tmp_path / "out").exists()


def test_a_full_disk(pair, pictures: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", full)
        printed = fails(capsys, "--pair", pair, "--pool", pictures, "--out", tmp_path / "out")
    assert "No space left on device" in printed
    monkeypatch.setattr("benchmark.predict.engine.top2", None)  # what was predicted before is not lost
    call("--pair", pair, "--pool", pictures, "--out", tmp_path / "out")


def test_a_folder_with_something_else_in_it_is_left_alone(pair, pictures: Path, tmp_path: Path, capsys) -> None:
    search_here = ["--pair", pair, "--pool", pictures, "--out", tmp_path / "out"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ranking.csv").write_text("mine")
    printed = fails(capsys, *search_here)
    assert "holds ranking.csv, which no search made; name another --out, or add --overwrite" in printed
    assert (tmp_path / "out" / "ranking.csv").read_text() == "mine"
    call(*search_here, "--overwrite")
    assert "another search" in fails(capsys, *search_here, "--diverse")
    call(*search_here, "--diverse", "--overwrite")
