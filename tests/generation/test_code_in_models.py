"""No file of a model runs code here, whatever the release of the library that reads it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.core.errors import UserError
from generation.clip_filter import load_clip
from generation.diffusion.batches import load_model
from generation.diffusion.tokens import find_tokens
from tests.generation.conftest import WIDTH


class Evil:
    """Unpickled, it runs a command of the shell."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path) -> Any:
    """A file that code would make, and that is not there in the end."""
    yield tmp_path / "was run"
    assert not (tmp_path / "was run").exists()


@pytest.fixture
def model(pipeline_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pipeline_folder, tmp_path / "model"))


def change_index(model: Path, **entries: Any) -> None:
    file = model / "model_index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


@pytest.mark.parametrize("file", ["pipeline.py", "unet/evil.py", "unet/diffusers.py", "tokenizer/deep/er/a.py"])
def test_a_model_with_code_is_refused(file: str, model: Path, mark: Path) -> None:
    (model / file).parent.mkdir(parents=True, exist_ok=True)
    (model / file).write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    if file == "pipeline.py":
        change_index(model, _class_name=["pipeline", "Evil"])
    if file == "unet/evil.py":
        change_index(model, unet=["evil", "Evil"])
    with pytest.raises(UserError, match=r"holds \w+\.py, and a model's code is never run"):
        load_model(str(model))


@pytest.mark.parametrize("entry", [{"unet": ["evil", "Evil"]}, {"_class_name": ["evil", "Evil"]}, {"x": ["os", "f"]}])
def test_a_model_of_other_libraries_is_refused(
    entry: dict[str, Any], model: Path, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `python -m` does, the folder of work goes before all libraries."""
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    change_index(model, **entry)
    with pytest.raises(UserError, match=f"its {next(iter(entry))} is code of (evil|os), which is never run"):
        load_model(str(model))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_the_pickles_of_a_model_run_nothing(part: str, model: Path, mark: Path) -> None:
    (weights,) = (model / part).glob("*.safetensors")
    weights.unlink()
    torch.save({"weight": Evil(mark)}, weights.with_name(weights.name.replace("model.safetensors", "model.bin")))
    torch.save({"weight": Evil(mark)}, model / part / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be had"):
        load_model(str(model))


@pytest.mark.parametrize("name", ["evil.pt", "evil.bin", "evil.npy", "evil.npz"])
def test_the_weights_of_clip_run_nothing(name: str, tiny_clip: tuple[str, str], tmp_path: Path, mark: Path) -> None:
    evil: Any = np.array([Evil(mark)], dtype=object)
    if name.endswith(".npy"):
        np.save(tmp_path / name, evil)
    elif name.endswith(".npz"):
        np.savez(tmp_path / name, evil)
    else:
        torch.save({"state_dict": Evil(mark)}, tmp_path / name)
    with pytest.raises(UserError, match="cannot be had"):
        load_clip(tiny_clip[0], str(tmp_path / name))


@pytest.mark.parametrize("where", ["local-dir:{}", "hf-hub:{}", "{}"])
def test_a_clip_model_that_is_none_of_open_clips_is_refused(
    where: str, tiny_clip: tuple[str, str], tmp_path: Path, mark: Path
) -> None:
    """Its configuration could ask for a tokenizer with code."""
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "tok.py").write_text(f"open({str(mark)!r}, 'w')\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["tok.Evil", None]}}))
    text = {"hf_tokenizer_name": str(folder), "tokenizer_kwargs": {"trust_remote_code": True}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"text_cfg": text}, "preprocess_cfg": {}}))
    with pytest.raises(UserError, match="no CLIP model of open_clip is called"):
        load_clip(where.format(folder), tiny_clip[1])


def test_tokens_run_nothing(tmp_path: Path, mark: Path) -> None:
    (tmp_path / "tokens").mkdir()
    torch.save(Evil(mark), tmp_path / "tokens" / "6.bin")
    with pytest.raises(UserError, match="code is never run"):
        find_tokens(str(tmp_path / "tokens"), [6], WIDTH)


def test_a_pipe_is_refused_before_a_library_waits_for_it(
    model: Path, tiny_clip: tuple[str, str], tmp_path: Path
) -> None:
    os.mkfifo(model / "unet" / "pipe.bin")
    with pytest.raises(UserError, match=r"pipe\.bin: is a pipe, socket or device"):
        load_model(str(model))
    os.mkfifo(tmp_path / "clip.pt")
    with pytest.raises(UserError, match=r"clip\.pt: is a pipe, socket or device"):
        load_clip(tiny_clip[0], str(tmp_path / "clip.pt"))
