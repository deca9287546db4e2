"""``editors.train`` as a person types it: each method's checkpoint, going on, presets, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from benchmark.core import cli
from benchmark.models.identity import hash_tensors
from benchmark.models.load import BaseModel
from editors import train
from editors.core.registry import built_in, choose
from editors.methods.hypernetwork import bank
from editors.methods.hypernetwork.recipe import PRESETS, HypernetworkRecipe
from editors.methods.ke.recipe import KERecipe
from editors.methods.mend.recipe import MENDRecipe
from editors.training.pretrained import PretrainedEditor
from editors.training.recipe import TrainingRecipe
from tests.editors.methods.hypernetwork.conftest import folder, tiny

__all__ = ["folder", "tiny"]

SMALL = {
    "hypernetwork": "--inner-steps 1 --outer-steps 1 --blocks 1 --batch-size 2 --iterations 4 --bank-size 8",
    "ke": "--condition 8 --hidden 4 --batch-size 4 --warmup 1 --iterations 3",
    "mend": "--rank 4 --batch-size 2 --iterations 3",
}
RECIPES: dict[str, TrainingRecipe] = {
    "hypernetwork": HypernetworkRecipe(inner_steps=1, outer_steps=1, blocks=1, batch_size=2, iterations=4),
    "ke": KERecipe(condition=8, hidden=4, batch_size=4, warmup=1, iterations=3),
    "mend": MENDRecipe(rank=4, batch_size=2, iterations=3),
}


@pytest.fixture(autouse=True)
def on_a_tiny_base(tiny: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "PART", 8)
    monkeypatch.setattr("editors.training.loop.load_base", lambda name, device: tiny)


def run(*words: object) -> None:
    texts = [str(word) for word in words]
    cli.run(train.commands(texts), texts)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_every_editor_with_a_trained_network_can_be_trained() -> None:
    pretrained = {name for name in built_in() if issubclass(choose(name, "mini").editor_class, PretrainedEditor)}
    assert train.commands([]).keys() == pretrained == SMALL.keys()


@pytest.mark.parametrize("name", SMALL)
def test_a_command_trains_and_the_same_one_goes_on(
    name: str, tiny: BaseModel, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"{name}.safetensors"
    words = [name, "--base", "tiny", "--images", folder, "--out", out, *SMALL[name].split()]
    run(*words)
    spec = f"{name}:checkpoint={out}"
    assert f"use it as {spec}" in capsys.readouterr().out
    editor = choose(spec, "tiny").make()
    assert isinstance(editor, PretrainedEditor)
    checkpoint = editor.checkpoint(tiny.module)
    assert checkpoint.recipe == RECIPES[name]
    assert checkpoint.metadata["base"] == "tiny" and str(tmp_path) not in str(checkpoint.metadata)

    written = out.stat().st_mtime_ns
    run(*words)
    assert out.stat().st_mtime_ns == written, "a finished run trained again"
    out.unlink()
    run(*words)  # the state beside it holds the network
    again = editor.load(out, tiny.weights_sha256)
    assert again.metadata == checkpoint.metadata
    assert hash_tensors(again.network.state_dict()) == hash_tensors(checkpoint.network.state_dict())
    error = refused(capsys, *words, "--lr", 0.5)
    assert "holds another training run (its lr is " in error and "yours is 0.5); name another --out" in error


def recipe_made_by(monkeypatch: pytest.MonkeyPatch, *words: str) -> HypernetworkRecipe:
    made = []
    monkeypatch.setattr(train.hypernetworks, "train", lambda base, source, recipe, *_, **__: made.append(recipe))
    run("hypernetwork", "--base", "tiny", "--images", "mini", "--out", "out.safetensors", *words)
    return made[0]


def test_a_preset_is_where_options_start_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe_made_by(monkeypatch) == PRESETS["released"]
    assert recipe_made_by(monkeypatch, "--recipe", "paper") == PRESETS["paper"]
    # what is written holds, also where it is the other recipe's default, or None
    changed = recipe_made_by(monkeypatch, "--recipe=paper", "--temperature", "5.0", "--no-wide-mlp", "--blocks", "2")
    assert changed == PRESETS["paper"].but(temperature=5.0, wide_mlp=False, blocks=2)
    assert recipe_made_by(monkeypatch, "--crop-scale", "None") == PRESETS["released"].but(crop_scale=None)


def test_help_shows_the_defaults_of_the_recipe_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words, default in ([], "5.0"), (["--recipe", "paper"], "1.0"):
        with pytest.raises(SystemExit):
            run("hypernetwork", *words, "--help")
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert f"multiplied by its square. (default: {default})" in text


@pytest.mark.parametrize("name", SMALL)
def test_every_field_of_a_recipe_is_an_option_with_a_sentence(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        run(name, "--help")
    lines = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in dataclasses.fields(RECIPES[name]):
        option = f"--{field.name.replace('_', '-')}"
        option += f", --no-{option[2:]} " if isinstance(field.default, bool) else r" \S+ "
        entry = re.search(rf" {option}([A-Z].*?\.) \(default: (\S+)\)", lines)
        assert entry, f"{field.name} cannot be set"
        assert len(entry[1].split()) > 2 and " --" not in entry[1], f"{field.name}: {entry[1]}"
        assert entry[2] == str(field.default), field.name


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["ke", "--out", "x.pt"], "--out must end in .safetensors, not .pt"),
        (["ke", "--out", "x.safetensors", "--checkpoint-every", "0"], "--checkpoint-every must be 1 or more, not 0"),
        (["ke", "--out", "x.safetensors", *SMALL["ke"].split(), "--batch-size", "5"], "more than the 4 images"),
        (
            ["ke", "--out", "x.safetensors", *SMALL["ke"].split(), "--others", "4", "--batch-size", "4"],
            "--batch-size must be 5",
        ),
        (["ke", "--out", "x.safetensors", *SMALL["ke"].split(), "--top-k", "1001"], "more than the 1000 classes"),
        (["mend", "--out", "x.safetensors", "--rank", "4", "--others", "8"], "less than one sample"),
        (
            ["hypernetwork", "--out", "x.safetensors", *SMALL["hypernetwork"].split(), "--batch-size", "64"],
            "one batch of 64",
        ),
        (["hypernetwork", "--out", "x.safetensors", "--blocks", "0"], "--blocks must be between 1 and 100, not 0"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_what_cannot_be_trained_is_named(
    words: list[str], error: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert error in refused(capsys, *words, "--base", "tiny", "--images", folder)


def test_what_is_on_disk_keeps_its_keys() -> None:
    """Checkpoints of earlier versions hold these."""
    assert json.loads(PRESETS["paper"].to_json())["name"] == "paper"
    assert "recipe" not in json.loads(PRESETS["paper"].to_json())
    assert HypernetworkRecipe.from_json(PRESETS["paper"].to_json()) == PRESETS["paper"]
    assert json.loads(KERecipe(batch_size=6, kl_margin=0.3).to_json()).items() >= {"batch": 6, "margin": 0.3}.items()
    made = json.loads(MENDRecipe(batch_size=6, others=2, max_norm=9.0).to_json())
    assert made.items() >= {"batch": 6, "locality": 2, "clip": 9.0}.items()
