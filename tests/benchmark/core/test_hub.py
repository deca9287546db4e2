"""The Hub is asked once whether it answers; where it does not, its clients work from their caches, at once."""

from __future__ import annotations

import time
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from benchmark.core.errors import UserError
from benchmark.core.hub import from_hub
from tests.hub_server import TOKEN, HubServer, serving


@pytest.fixture
def model(hub: HubServer, tmp_path: Path) -> HubServer:
    """A Hub with one model of one file."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.txt").write_text("hello")
    hub.add("models", "some/model", tmp_path / "model")
    return hub


def download(name: str = "some/model", file: str = "a.txt", **more: str) -> str:
    with from_hub(f"the file of {name}", "do without"):
        path = huggingface_hub.hf_hub_download(name, file, **more)
        return Path(path).read_text()


def test_a_file_comes_from_the_hub_and_then_from_the_cache(model: HubServer, monkeypatch) -> None:
    assert download() == "hello"
    model.broken = True
    assert download() == "hello"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(model.requests)
    assert download() == "hello" and len(model.requests) == asked


def test_each_reason_is_one_line_with_what_to_do(model: HubServer, monkeypatch) -> None:
    def reason(**asked: str) -> str:
        with pytest.raises(UserError) as error:
            download(**asked)
        begin, _, rest = str(error.value).partition(" cannot be had (")
        assert begin == f"the file of {asked.get('name', 'some/model')}" and rest.endswith("); do without")
        assert "\n" not in rest
        return rest

    assert "nothing of that name" in reason(name="some/other") and "hf auth login" in reason(name="some/other")
    assert "no such revision" in reason(revision="v7")
    assert "EntryNotFound" in reason(file="b.txt")
    model.repositories["models", "some/model"].gated = True
    assert "accept their terms" in reason()
    model.broken = True
    assert "answers with 503, and the cache lacks it" in reason()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert reason().startswith("HF_HUB_OFFLINE is set, and the cache lacks it")


def test_a_hub_that_is_silent_is_not_waited_for(hub: HubServer, monkeypatch) -> None:
    with serving() as gone:
        monkeypatch.setattr(constants, "ENDPOINT", gone.endpoint)
    start = time.monotonic()
    with pytest.raises(UserError, match="the Hub does not answer: Connect"):
        download()
    assert time.monotonic() - start < 5, "the clients' own retries take more than 20 seconds"
    assert not constants.HF_HUB_OFFLINE, "only within the block"


def test_what_lies_here_is_not_asked_for(model: HubServer) -> None:
    with (
        pytest.raises(UserError, match=r"x cannot be had \(ValueError: bad format\); y"),
        from_hub("x", "y", here=True),
    ):
        raise ValueError("bad format")
    with pytest.raises(UserError, match=r"^its own$"), from_hub("x", "y"):
        raise UserError("its own")
    assert model.requests == [("HEAD", "/")]


def test_private_things_need_the_token(model: HubServer) -> None:
    model.repositories["models", "some/model"].private = True
    with pytest.raises(UserError, match="or it is private"):
        download()
    assert download(token=TOKEN) == "hello"


def test_a_silent_hub_is_asked_once_a_minute(model: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search has two models, and each would wait for the same silence."""
    download()
    model.broken = True
    asked = len(model.requests)
    assert [download(), download()] == ["hello", "hello"] and len(model.requests) == asked + 1
    model.broken = False
    monkeypatch.setattr("benchmark.core.hub.REMEMBERED", 0)
    assert download() == "hello" and len(model.requests) > asked + 1
