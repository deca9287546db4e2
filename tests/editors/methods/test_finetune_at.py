"""`ft-at` at the usual blocks is `ft`; elsewhere it moves what it says and lowers the loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.core.errors import UserError
from benchmark.models.vit import forward
from editors.core.registry import built_in, choose
from editors.methods.finetune import FineTune, FineTuneConfig
from editors.methods.finetune_at import FineTuneAt, FineTuneAtConfig


def at(part: str, first: int) -> FineTuneAt:
    return FineTuneAt(FineTuneAtConfig(lr=1e-3, max_steps=3, part=part, first=first))


def test_tuning_the_usual_three_ffns_is_plain_fine_tuning(vit: nn.Module) -> None:
    images, labels = torch.randn(2, 1, 3, 32, 32), torch.tensor([[3], [5]])
    usual = FineTune(FineTuneConfig(lr=1e-3, max_steps=3)).edit_many(vit, images, labels, [0, 0])
    same = at("ffn", 1).edit_many(vit, images, labels, [0, 0])  # blocks 1, 2, 3 of 6
    for edit, expected in zip(usual, same, strict=True):
        assert edit.overrides.keys() == expected.overrides.keys()
        assert all(torch.equal(edit.overrides[name], expected.overrides[name]) for name in edit.overrides)


@pytest.mark.parametrize("first", [0, 3])
def test_tuning_three_msas_moves_their_weight_matrices_and_lowers_the_loss(vit: nn.Module, first: int) -> None:
    image, label = torch.randn(1, 3, 32, 32), torch.tensor([3])
    edit = at("msa", first).edit(vit, image, label)
    blocks = range(first, first + 3)
    assert set(edit.overrides) == {f"blocks.{b}.attn.{layer}.weight" for b in blocks for layer in ("qkv", "proj")}
    losses = [nn.functional.cross_entropy(forward(vit, image, overrides), label) for overrides in ({}, edit.overrides)]
    assert losses[1] < losses[0]


def test_it_is_chosen_by_its_spec_and_compared_with_no_other() -> None:
    choice = choose("ft-at:part=msa,first=2", "mini")
    assert choice.config == FineTuneAtConfig(part="msa", first=2) and choice.name not in built_in()
    assert choice.spec == "ft-at:part=msa,first=2"
    with pytest.raises(UserError, match='part must be ffn or msa, not "mlp"'):
        choose("ft-at:part=mlp", "mini")
