"""Tokens, CLIP and Stable Diffusion through the Hub's protocol, in the layouts of the repositories that SPEC names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark.core.errors import UserError
from generation.clip_filter import CLIP, PRETRAINED, load_clip
from generation.diffusion.batches import MODEL, load_model
from generation.diffusion.tokens import RELEASED, find_tokens
from tests.generation.conftest import WIDTH
from tests.hub_server import HubServer


@pytest.mark.parametrize("is_packed", [False, True])
def test_tokens_come_from_the_hub_and_then_from_the_cache(
    is_packed: bool, hub: HubServer, tokens: Path, tmp_path: Path
) -> None:
    """A file a class, or all of them in ``tokens.zip``; class 7 has none."""
    folder = tokens
    if is_packed:
        folder = tmp_path / "packed"
        shutil.make_archive(str(folder / "tokens"), "zip", tokens.parent, tokens.name)
    hub.add("datasets", RELEASED, folder)
    expected = find_tokens(str(tokens), [6, 987], WIDTH)
    for hub.broken in (False, True):
        token_of_class = find_tokens(RELEASED, [6, 7, 987], WIDTH)
        assert token_of_class.keys() == {6, 987}
        for index, token in token_of_class.items():
            assert torch.equal(token.embedding, expected[index].embedding)
            assert token.origin.startswith(f"{RELEASED}/{index}.bin sha256:")
    with pytest.raises(
        UserError, match=r"others/tokens is no folder here, and its tokens cannot be had .*--class-names"
    ):
        find_tokens("others/tokens", [6], WIDTH)


def test_clip_comes_from_the_hub(hub: HubServer, tiny_clip: tuple[str, str], tmp_path: Path, monkeypatch) -> None:
    """By the tag that open_clip resolves; the architecture of that name is a tiny one here."""
    import open_clip

    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, CLIP, open_clip.get_model_config(tiny_clip[0]))
    weights = torch.load(tiny_clip[1])
    (tmp_path / "laion").mkdir()
    save_file(weights, tmp_path / "laion" / "open_clip_model.safetensors")
    with pytest.raises(
        UserError, match=r"open_clip model ViT-H-14 .* \(the Hub has nothing of that name.*--pretrained"
    ):
        load_clip()
    hub.add("models", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", tmp_path / "laion")
    for hub.broken in (False, True):
        loaded = load_clip(CLIP, PRETRAINED).model.state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_stable_diffusion_comes_from_the_hub_at_a_commit(hub: HubServer, pipeline_folder: Path, caplog) -> None:
    commit = hub.add("models", MODEL, pipeline_folder)
    hashes = load_model(str(pipeline_folder)).metadata["weights_sha256"]
    for hub.broken in (False, True):
        metadata = load_model(MODEL).metadata
        assert (metadata["revision"], metadata["weights_sha256"]) == (commit, hashes)
    assert f"it is at commit {commit} now" in caplog.text
    with pytest.raises(UserError, match=r"the model others/sd cannot be had .*--model"):
        load_model("others/sd")
