"""Generating: the real pipeline class with tiny parts; seeds, tokens, resume, memory, and unreadable sources."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images.open import open_images
from benchmark.subsets.oil_painting import read
from generation import oil_painting
from generation.core.folder import read_table
from generation.diffusion import batches as diffusion
from tests.generation.conftest import WIDTH, break_pipeline

FEW = {"per_class": 3, "steps": 2, "size": 12, "batch_size": 2}


@pytest.fixture
def paint(pipeline_folder: Path, tokens: Path):
    """The command with small settings."""

    def run(out: Path, **settings) -> None:
        options = {"classes": ("6", "corn"), "model": str(pipeline_folder), "tokens": str(tokens), **FEW, **settings}
        oil_painting.main(out, **options)

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pixels(folder: Path, file: str) -> np.ndarray:
    return np.asarray(Image.open(folder / file)).astype(int)


def plain(pipeline_folder: Path, tokens: Path, index: int, number: int) -> np.ndarray:
    """One image by a plain call of diffusers, as its documentation has it."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

    scheduler = EulerDiscreteScheduler.from_pretrained(pipeline_folder, subfolder="scheduler")
    pipe = StableDiffusionPipeline.from_pretrained(pipeline_folder, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    embedding = torch.load(tokens / f"{index}.bin")
    vector = embedding if isinstance(embedding, torch.Tensor) else next(iter(embedding.values()))
    pipe.load_textual_inversion(vector.detach(), token="<it>")
    random = torch.Generator().manual_seed(index * 1_000_000 + number)
    prompt = "an oil painting of a <it>"
    image = pipe(prompt, num_inference_steps=2, guidance_scale=7.5, generator=random).images[0]
    return np.asarray(image.resize((12, 12))).astype(int)


def test_images_are_those_of_a_plain_pipeline_call(paint, tmp_path: Path, pipeline_folder: Path, tokens: Path) -> None:
    paint(tmp_path / "oil")
    for index, number in ((6, 0), (6, 2), (987, 1)):
        expected = plain(pipeline_folder, tokens, index, number)
        painted = pixels(tmp_path / "oil", f"{index}/{number:05d}.png")
        assert painted.shape == (12, 12, 3) and painted.std() > 0
        assert np.abs(painted - expected).max() <= 1
    assert {image.label for image in read(open_images(tmp_path / "oil", files=True)).images} == {6, 987}, (
        "benchmark.build takes it"
    )


def test_the_token_matters_and_is_recorded(paint, tmp_path: Path) -> None:
    paint(tmp_path / "oil", classes=("6",), per_class=1)
    paint(tmp_path / "plain", classes=("6",), per_class=1, tokens=str(tmp_path / "oil"), class_names=True)
    ours, theirs = (read_table(tmp_path / name)[0] for name in ("oil", "plain"))
    assert ours["token"].startswith("tokens") and "/6.bin sha256:" in ours["token"]
    assert (ours["prompt"], ours["seed"]) == ("an oil painting of a <imagenet-6>", 6_000_000)
    assert (theirs["prompt"], theirs["token"]) == ("an oil painting of a stingray", "class name")
    assert ours["scheduler"] == "EulerDiscreteScheduler" and ours["guidance"] == 7.5 and ours["steps"] == 2
    assert ours["synset"] == "n01498041" and set(ours["weights_sha256"]) == {"unet", "vae", "text_encoder"}
    assert (pixels(tmp_path / "oil", ours["file"]) != pixels(tmp_path / "plain", theirs["file"])).any()


def test_any_subset_and_batch_size_make_the_same_images(paint, tmp_path: Path) -> None:
    paint(tmp_path / "all")
    paint(tmp_path / "again")
    assert files(tmp_path / "all") == files(tmp_path / "again")
    paint(tmp_path / "some", classes=("987",), batch_size=3)
    for number in range(3):
        name = f"987/{number:05d}.png"
        assert np.abs(pixels(tmp_path / "some", name) - pixels(tmp_path / "all", name)).max() <= 1


@pytest.mark.parametrize("step", ["_write_table", "_show"])
def test_a_killed_run_goes_on_to_the_same_folder(
    paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed in the second batch: before its images are listed, or after that and before they have their names."""
    from generation.core.folder import GeneratedImages

    paint(tmp_path / "whole")
    calls = 0
    real = getattr(GeneratedImages, step)

    def killed(*arguments):
        nonlocal calls
        calls += 1
        if calls == (2 if step == "_write_table" else 4):
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(GeneratedImages, step, killed)
    with pytest.raises(KeyboardInterrupt):
        paint(tmp_path / "killed")
    monkeypatch.undo()
    listed = {row["file"] for row in read_table(tmp_path / "killed")}
    visible = {name for name in files(tmp_path / "killed") if name.endswith(".png") and "/." not in name}
    assert visible <= listed and len(visible) < 6
    paint(tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_damaged_image_is_made_again_and_other_settings_are_refused(paint, tmp_path: Path) -> None:
    paint(tmp_path / "oil", classes=("6",))
    before = files(tmp_path / "oil")
    (tmp_path / "oil/6/00000.png").write_bytes(b"half")
    (tmp_path / "oil/6/00001.png").unlink()
    paint(tmp_path / "oil", classes=("6",))
    assert files(tmp_path / "oil") == before
    with pytest.raises(UserError, match=r"\(its guidance is 7\.5, yours is 3\.0\)"):
        paint(tmp_path / "oil", guidance=3.0)
    with pytest.raises(UserError, match=r'class 6 made with "an oil painting of a <imagenet-6>".*\(class name\)'):
        paint(tmp_path / "oil", classes=("6",), tokens=str(tmp_path), class_names=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"holds notes\.txt, which no set of generated images made"):
        paint(tmp_path / "other")


def test_what_does_not_fit_into_memory_is_halved(
    paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    batch_sizes = []
    real = diffusion.sample

    def short_of_memory(pipe, prompt, seeds, settings):
        batch_sizes.append(len(seeds))
        if len(seeds) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(pipe, prompt, seeds, settings)

    monkeypatch.setattr(diffusion, "sample", short_of_memory)
    room = 2
    paint(tmp_path / "oil", classes=("6",), per_class=4, batch_size=4)
    assert batch_sizes == [4, 2, 2]
    assert "a batch of 4 does not fit into memory; going on with 2" in caplog.text
    paint(tmp_path / "oil", classes=("6",), per_class=6, batch_size=4)
    assert batch_sizes == [4, 2, 2, 2], "the folder remembers"
    assert json.loads((tmp_path / "oil/run.json").read_text())["fitting_batch"] == 2
    room = 0
    with pytest.raises(UserError, match="not even one image"):
        paint(tmp_path / "none", classes=("6",))


@pytest.fixture
def black(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Seeds whose pictures come out black, as a safety checker makes them."""
    real, seeds_of_black = diffusion.sample, set()

    def sample(pipe, prompt, seeds, settings):
        images = real(pipe, prompt, seeds, settings)
        return [image * 0 if seed in seeds_of_black else image for seed, image in zip(seeds, images, strict=True)]

    monkeypatch.setattr(diffusion, "sample", sample)
    return seeds_of_black


def test_a_black_image_is_made_again_from_another_seed(
    paint, black: set[int], tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    paint(tmp_path / "all")
    black |= {6_000_001, 6_100_001, *(6_000_002 + attempt * 100_000 for attempt in range(diffusion.TRIES))}
    capsys.readouterr()
    paint(tmp_path / "oil")
    assert "5 images made, 5 there, 6 thrown away (6 black);" in capsys.readouterr().out
    assert "class 6 (stingray) lacks 1 of 3 images" in caplog.text
    rows = read_table(tmp_path / "oil")
    assert [(row["file"], row["seed"]) for row in rows[:3]] == [
        ("6/00000.png", 6_000_000), ("6/00001.png", 6_200_001), (None, None)
    ]  # fmt: skip
    assert rows[1]["thrown_away"] == [{"seed": seed, "flaw": "black"} for seed in (6_000_001, 6_100_001)]
    made = files(tmp_path / "oil")
    assert "6/00002.png" not in made and made["6/00000.png"] == files(tmp_path / "all")["6/00000.png"]
    paint(tmp_path / "oil")
    assert "0 images made, 5 there, 6 thrown away (6 black);" in capsys.readouterr().out
    assert files(tmp_path / "oil") == made, "what was tried in vain is not tried again"


def test_a_run_killed_among_black_images_goes_on_to_the_same_folder(
    paint, black: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    black |= {6_000_001, 987_000_000, 987_100_000}
    paint(tmp_path / "whole", per_class=4)
    real, calls = diffusion.GeneratedImages._write_table, []

    def killed(folder) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(folder)

    monkeypatch.setattr(diffusion.GeneratedImages, "_write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        paint(tmp_path / "killed", per_class=4)
    paint(tmp_path / "killed", per_class=4)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


@pytest.mark.parametrize(
    ("cause", "flaw"), [("safety checker", "black"), ("overflow", "not finite"), ("one colour", "of one colour")]
)
def test_a_model_that_shows_nothing_keeps_nothing_and_ends_in_one_line(
    paint, pipeline_folder: Path, tmp_path: Path, cause: str, flaw: str
) -> None:
    paint_with = shutil.copytree(pipeline_folder, tmp_path / "model")
    break_pipeline(paint_with, cause)
    with pytest.raises(UserError, match=rf"no image shows anything, 0 there, 8 thrown away \(8 {flaw}\).*--model"):
        paint(tmp_path / "oil", classes=("6",), per_class=2, model=str(paint_with))
    assert [row["file"] for row in read_table(tmp_path / "oil")] == [None, None]
    assert not list((tmp_path / "oil").rglob("*.png"))


def test_missing_tokens_are_named(paint, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match=r"no token for 30 \(bullfrog\), 37 \(box turtle\); .*--class-names"):
        paint(tmp_path / "oil", classes=("6", "30", "37"))
    paint(tmp_path / "oil", classes=("6", "30"), per_class=1, class_names=True)
    assert "called by their names: 30 (bullfrog)" in caplog.text
    assert [row["prompt"].split()[-1] for row in read_table(tmp_path / "oil")] == ["<imagenet-6>", "bullfrog"]


def test_tokens_that_do_not_fit_or_load_are_refused(paint, tmp_path: Path, tokens: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    torch.save(torch.zeros(WIDTH + 8), bad / "6.bin")
    with pytest.raises(UserError, match=f"stingray is {WIDTH + 8} wide, the model's text encoder {WIDTH}"):
        paint(tmp_path / "oil", classes=("6",), tokens=str(bad))
    (bad / "6.bin").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="its tensors do not load"):
        paint(tmp_path / "oil", classes=("6",), tokens=str(bad))
    torch.save({"a": torch.zeros(2), "b": torch.zeros(2)}, bad / "6.bin")
    with pytest.raises(UserError, match="it is no token"):
        paint(tmp_path / "oil", classes=("6",), tokens=str(bad))
    packed = shutil.make_archive(str(tmp_path / "tokens"), "zip", tokens.parent, tokens.name)
    paint(tmp_path / "zip", classes=("6",), per_class=1, tokens=packed)
    assert "tokens.zip/6.bin" in read_table(tmp_path / "zip")[0]["token"]


def test_what_the_hub_does_not_give_is_one_line(
    paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(UserError, match=r"the model nobody/nothing cannot be had.*--model") as error:
        paint(tmp_path / "oil", model="nobody/nothing")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"its tokens cannot be had \(HF_HUB_OFFLINE is set, .*--class-names"):
        paint(tmp_path / "oil", tokens="nobody/nothing")
    paint(tmp_path / "oil", classes=("6",), per_class=1, tokens="nobody/nothing", class_names=True)
    assert "all classes go by their names" in caplog.text


def test_a_model_of_the_hub_is_recorded_with_its_commit(
    paint,
    pipeline_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from diffusers import DiffusionPipeline

    snapshot = shutil.copytree(pipeline_folder, tmp_path / "snapshots" / "c0ffee")
    monkeypatch.setattr(DiffusionPipeline, "download", lambda model, revision: str(snapshot))
    paint(tmp_path / "oil", classes=("6",), per_class=1, model="some/model")
    assert "some/model is not pinned; it is at commit c0ffee now" in caplog.text
    (row,) = read_table(tmp_path / "oil")
    assert (row["model"], row["revision"]) == ("some/model", "c0ffee")
    caplog.clear()
    paint(tmp_path / "oil", classes=("6",), per_class=1, model="some/model", revision="c0ffee")
    assert "not pinned" not in caplog.text


def test_released_tokens_come_from_the_hubs_archive_where_there_are_no_files(
    paint, tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    packed = shutil.make_archive(str(tmp_path / "tokens"), "zip", tokens.parent, tokens.name)
    requests = []

    def download(source: str, name: str, repo_type: str) -> str:
        requests.append((source, name, repo_type))
        if name != "tokens.zip":
            raise EntryNotFoundError.__new__(EntryNotFoundError)  # its constructor wants an answer of the Hub
        return packed

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    paint(tmp_path / "oil", per_class=1, tokens="some/tokens")
    assert [row["token"].split()[0] for row in read_table(tmp_path / "oil")] == [
        *("some/tokens/6.bin", "some/tokens/987.bin")
    ]
    assert requests == [("some/tokens", name, "dataset") for name in ("6.bin", "tokens.zip")]
