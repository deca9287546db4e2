"""Tensors on disk: whole, or known to be damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark.core.errors import UserError
from benchmark.models.tensors import read_tensors, write_tensors

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, -1], dtype=torch.int16)}


def test_what_was_written_is_read_and_what_is_not_as_it_was_is_none(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    assert read_tensors(file) is None
    write_tensors(file, TENSORS)
    tensors = read_tensors(file)
    assert tensors is not None and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    whole = file.read_bytes()
    for damaged in (b"", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), whole[8:]):
        file.write_bytes(damaged)
        assert read_tensors(file) is None
    save_file(TENSORS, file)  # from before there was a hash
    assert read_tensors(file) is not None


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"x.safetensors cannot be written \(No space left on device\); make room"):
        write_tensors(tmp_path / "x.safetensors", TENSORS)
