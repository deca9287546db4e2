"""Tensors on a GPU cross by handles where that works, and through the host where it does not."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.judging import handles
from leaderboard.judging.border import Border, EditorBehindBorder
from leaderboard.judging.wire import pack, unpack


def test_what_is_on_the_host_has_no_handle(base: BaseModel) -> None:
    tensor = torch.randn(3, 4)
    assert handles.export(tensor) is None
    header, tensors = unpack(pack({"a": 1}, {"tensor": tensor}, by_handle=True))
    assert header == {"a": 1} and torch.equal(tensors["tensor"], tensor)


def test_a_handle_is_plain_and_what_lies_behind_it_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's part stands in for a GPU here: it gets back the arguments that it gave."""
    memory = torch.arange(6.0).reshape(2, 3)
    arguments = (
        Tensor,
        memory.shape,
        memory.stride(),
        0,
        torch.storage.TypedStorage,
        torch.float32,
        0,
        b"memory",
        24,
        0,
    )
    arguments += (False, b"counter", 1, b"event", True)
    on_gpu: Any = SimpleNamespace(is_cuda=True, detach=lambda: memory)

    def rebuild(*received: Any) -> Tensor:
        assert received == arguments
        return memory

    monkeypatch.setattr(handles.reductions, "reduce_tensor", lambda tensor: (rebuild, arguments))
    monkeypatch.setattr(handles.reductions, "rebuild_cuda_tensor", rebuild)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    header, tensors = unpack(pack({"a": 1}, {"weight": on_gpu}, by_handle=True))
    assert header == {"a": 1} and torch.equal(tensors["weight"], memory)
    memory += 1
    assert not torch.equal(tensors["weight"], memory), "the judge has a copy of its own"

    def refuses(tensor: Tensor) -> None:
        raise RuntimeError("operation not supported")

    monkeypatch.setattr(handles.reductions, "reduce_tensor", refuses)
    assert handles.export(on_gpu) is None
    with pytest.raises(ValueError, match="no format: load"):
        handles.take([[1], [1], 0, "load", 0, "00", 4, 0, False, "00", 0, "00", True])


def raises(*_: Any) -> None:
    raise UserError("cannot be opened")


@pytest.mark.parametrize(
    ("device", "answer", "by_handle"),
    [
        ("cpu", raises, False),
        ("cuda", raises, False),
        ("cuda", lambda *_: torch.arange(8), False),  # it came through the host
        ("cuda", lambda *_: SimpleNamespace(is_cuda=True, tolist=lambda: list(range(8))), True),
        ("cuda", lambda *_: SimpleNamespace(is_cuda=True, tolist=lambda: [0] * 8), False),
    ],
)
def test_a_probe_decides(device: str, answer: Callable[..., Any], by_handle: bool) -> None:
    asked: list[bool] = []

    def ask(request: str, on: bool) -> tuple[dict, dict]:
        asked.append(on)
        return {}, {"probe": answer() if on else torch.arange(8)}

    editor = object.__new__(EditorBehindBorder)
    editor.base = SimpleNamespace(device=torch.device(device))  # type: ignore[assignment]
    editor.chosen_editor = choose("ft", "mini")
    editor._line = SimpleNamespace(ask=ask)  # type: ignore[assignment]
    assert editor._cross_by_handle() is by_handle
    assert asked == {"cpu": [], "cuda": [True] if by_handle else [True, False]}[device]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_edits_cross_by_handle_or_are_equal_all_the_same(base: BaseModel) -> None:
    base.module.cuda()
    editor = Border().open(choose("ft:max_steps=2", "small"), base)
    try:
        images, labels = torch.rand(2, 1, 3, 32, 32, device="cuda"), torch.zeros(2, 1, dtype=torch.long, device="cuda")
        first, second = (editor.edit(images, labels, [1, 2], "a sample") for _ in range(2))
        for left, right in zip(first, second, strict=True):
            assert all(
                value.is_cuda and torch.equal(value, right.overrides[name]) for name, value in left.overrides.items()
            )  # type: ignore[union-attr]
    finally:
        editor.close()
