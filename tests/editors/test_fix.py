"""One image in, edited weights out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image

from benchmark import load, load_base
from benchmark.core import cli
from benchmark.images.decode import Preprocessing
from editors import fix
from editors.core.saving import _timm_config

EDITORS = """
from editors import Editor, FailedEdit, TailEdit
from benchmark.models.vit import Cut

class Fails(Editor):
    def edit(self, model, images, labels):
        return FailedEdit("no reason")

class Tail(Editor):
    def edit(self, model, images, labels):
        return TailEdit(lambda tokens: tokens[:, 0, :1000], Cut(1))

class Breaks(Editor):
    def edit(self, model, images, labels):
        return 1 / len(images.nothing)

class Zeroes(Editor):
    def edit(self, model, images, labels):
        import copy
        for parameter in model.parameters():
            parameter.zero_()
        return copy.deepcopy(model)
"""


@pytest.fixture
def failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """An editing sample of the mini as a file in the working folder, and its right class."""
    monkeypatch.chdir(tmp_path)
    benchmark = load("mini", base="mini")
    Path("x.webp").write_bytes(benchmark.edit.image_bytes(0))
    Path("mine.py").write_text(EDITORS, encoding="utf-8")
    return "x.webp", int(benchmark.edit.labels[0])


def run(*words: object) -> None:
    cli.run(fix.main, [str(word) for word in words])


def test_the_edited_model_is_a_model_that_gets_the_image_right(failure, capsys) -> None:
    image, label = failure
    benchmark = load("mini", base="mini")
    Path("others").mkdir()
    for row in range(12):
        Path("others", f"{row}.webp").write_bytes(benchmark.locality.image_bytes(row))
    Path("others", "broken.webp").write_bytes(b"RIFF")
    run("--base", "mini", "--image", image, "--label", label, "--editor", "ft", "--out", "fixed", "--check", "others")
    before, after = load_base("mini"), load_base("fixed")
    assert after.preprocessing == before.preprocessing and after.weights_sha256 != before.weights_sha256
    with torch.no_grad():
        for model, is_right in ((before, False), (after, True)):
            pixels = model.preprocessing(Image.open(image).convert("RGB"))[None]
            assert (int(model.module(pixels).argmax()) == label) == is_right
        pixels = benchmark.locality.images(before.preprocessing, range(12))
        old, new = (model.module(pixels).argmax(-1) for model in (before, after))
    changes = pd.read_csv("fixed/changes.csv")
    rows = np.flatnonzero((old != new).numpy())
    assert sorted(changes["image"]) == sorted(f"{row}.webp" for row in rows)
    output = capsys.readouterr().out
    assert f"others: {len(rows)} of 12 images changed their class, 1 could not be read" in output
    assert f"({label}) at" in output and "--base fixed" in output
    note = json.loads(Path("fixed/edit.json").read_text(encoding="utf-8"))
    assert (note["label"], note["after"]["class"], note["editor"]) == (label, label, "ft")


def test_a_base_of_other_classes_is_welcome(failure, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=4, embed_dim=32, num_heads=2, num_classes=7)
    labels = [f"bird {number}" for number in range(7)]
    model.pretrained_cfg = {**model.pretrained_cfg, "num_classes": 7, "input_size": (3, 32, 32), "label_names": labels}
    arguments = {"img_size": 32, "depth": 4, "embed_dim": 32, "num_heads": 2}
    timm.models.save_for_hf(model, "seven", model_args=arguments, safe_serialization=True)
    base = load_base("seven", any_classes=True)
    said = int(base.module(base.preprocessing(Image.open("x.webp").convert("RGB"))[None]).argmax())
    target = (said + 1) % 7
    run("--base", "seven", "--image", "x.webp", "--label", target, "--editor", "ft:lr=0.01", "--out", "fixed")
    note = json.loads(Path("fixed/edit.json").read_text(encoding="utf-8"))
    assert note["before"]["name"] == f"bird {said} ({said})" and note["after"]["class"] == target
    assert load_base("fixed", any_classes=True).module.num_classes == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--editor", "mine.py:Fails"], "the edit failed (no reason)"),
        (["--editor", "mine.py:Tail"], "changes no weights"),
        (["--editor", "mine.py:Breaks"], "AttributeError"),
        (["--editor", "mine.py:Breaks"], "(mine.py, line 15)"),
        (["--editor", "mine.py:Zeroes"], "the edited model says"),
        (["--editor", "grace"], "name some with --images"),
        (["--label", "no such class"], "--label: no ImageNet class"),
        (["--image", "mine.py"], "mine.py: "),
        (["--image", "nowhere.png"], "nowhere.png: no such file"),
        (["--out", "."], "is not empty"),
    ],
)
def test_what_cannot_be_saved_is_one_line(failure, words: list[str], message: str, capsys) -> None:
    image, label = failure
    with pytest.raises(SystemExit) as stop:
        run("--image", image, "--label", label, "--out", "fixed", *words)
    assert stop.value.code == 2 and not Path("fixed").exists()
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]


def test_an_image_that_is_right_needs_no_edit(failure, capsys) -> None:
    base = load_base("mini")
    said = int(base.module(base.preprocessing(Image.open("x.webp").convert("RGB"))[None]).argmax())
    with pytest.raises(SystemExit):
        run("--image", "x.webp", "--label", said, "--out", "fixed")
    assert "there is nothing to edit" in capsys.readouterr().err


def test_a_saved_preprocessing_is_read_back() -> None:
    for resize in range(224, 449):
        preprocessing = Preprocessing(224, resize, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        assert Preprocessing.from_timm(_timm_config(preprocessing)) == preprocessing
