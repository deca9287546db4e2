"""A trained network on disk is the same file whenever it is the same network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from benchmark.core.arrays import read_safetensors
from editors.training.checkpoint import CheckpointStore


def test_a_checkpoint_s_bytes_say_nothing_but_its_content(tmp_path: Path) -> None:
    store, metadata = CheckpointStore("any", "any-1", tmp_path), {f"key{number}": "é" * number for number in range(9)}
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    for number in range(5):
        store.save(tmp_path / f"{number}.safetensors", network, metadata, iteration=7)
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1
    tensors, read = read_safetensors(tmp_path / "0.safetensors")
    assert read == {**metadata, "iteration": "7"}
    assert tensors["weight"].equal(network.weight) and tensors["bias"].equal(network.bias)
