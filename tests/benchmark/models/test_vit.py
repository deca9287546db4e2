"""Prefix and tail against the model's own forward, for every kind of timm ViT that is taken."""

from __future__ import annotations

import doctest

import pytest
import timm
import torch

from benchmark.models import vit
from benchmark.models.checks import check_supported
from benchmark.models.vit import Cut
from tests.conftest import small_vit

VARIANTS = {
    "plain": {},
    "layer scale": {"init_values": 0.3},
    "pre-norm, as CLIP": {"pre_norm": True},
    "query and key norm": {"qk_norm": True},
    "register tokens": {"reg_tokens": 2},
    "no final norm bias": {"qkv_bias": False},
}
CUTS = [Cut(0), Cut(2), Cut(3, ffn=True), Cut(5), Cut(5, ffn=True), Cut(6)]


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_prefix_and_tail_are_the_model(settings: dict, cut: Cut) -> None:
    model = small_vit(dtype=torch.float64, **settings)
    check_supported(model)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(vit.forward_tail(model, vit.forward_prefix(model, images, cut), cut, {}), model(images))


def randomly_changed(model: torch.nn.Module, names: list[str], edits: int) -> dict[str, torch.Tensor]:
    changed = {}
    for name in names:
        value = model.get_parameter(name)
        changed[name] = value + 0.1 * torch.randn(edits, *value.shape, dtype=value.dtype)
    return changed


EVERYTHING_IN_A_BLOCK = [
    "norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias", "ls1.gamma",
    "norm2.weight", "norm2.bias", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias", "ls2.gamma",
]  # fmt: skip


@pytest.mark.parametrize("part", EVERYTHING_IN_A_BLOCK)
def test_overrides_of_many_edits_equal_one_copy_each(part: str) -> None:
    """m edits in one tail against functional_call of the whole model, edit by edit."""
    model = small_vit(dtype=torch.float64, init_values=0.5)
    names = [f"blocks.{block}.{part}" for block in (3, 5)]
    names += ["norm.weight", "norm.bias", "head.weight", "head.bias"]
    changed = randomly_changed(model, names, edits=4)
    images = torch.randn(4, 2, 3, 32, 32, dtype=torch.float64)
    cut = vit.cut_for(model, names)
    tokens = vit.forward_prefix(model, images.flatten(0, 1), cut).unflatten(0, (4, 2))
    together = vit.forward_tail(model, tokens, cut, changed)
    for edit in range(4):
        own = {name: value[edit] for name, value in changed.items()}
        torch.testing.assert_close(together[edit], vit.forward(model, images[edit], own))
        torch.testing.assert_close(
            vit.forward_tail(model, tokens[edit], cut, own), vit.forward(model, images[edit], own)
        )


def test_one_edit_alone_takes_the_short_way_with_the_same_result() -> None:
    model = small_vit(dtype=torch.float64)
    names = [*vit.ffn_matrices(model), "blocks.3.mlp.fc1.bias"]
    changed = randomly_changed(model, names, edits=2)
    cut = vit.cut_for(model, names)
    tokens = torch.randn(2, 1, 5, 24, dtype=torch.float64)
    both = vit.forward_tail(model, tokens, cut, changed)
    first = vit.forward_tail(model, tokens[:1], cut, {name: value[:1] for name, value in changed.items()})
    torch.testing.assert_close(both[:1], first)


def masked_edit(model: torch.nn.Module, share: float) -> tuple[Cut, dict[str, torch.Tensor]]:
    """Some units of the edited FFN matrices changed; other ones in each matrix."""
    names = vit.ffn_matrices(model)
    masks = vit.unit_masks(torch.rand(len(names), vit.hidden_width(model)) < share, names)
    weights = {name: model.get_parameter(name) for name in names}
    return vit.ffn_cut(model, names), {n: w + masks[n] * torch.randn_like(w) for n, w in weights.items()}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_first_ffn_is_the_bases_and_the_changed_units(settings: dict) -> None:
    model = small_vit(dtype=torch.float64, **settings)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    cut, overrides = masked_edit(model, 0.1)
    difference = vit.ffn_difference(model, cut.block, overrides)
    assert difference is not None
    tokens = vit.forward_prefix(model, images, cut)
    behind = vit.forward_prefix(model, images, Cut(cut.block + 1))
    logits = vit.forward_tail_beyond(model, tokens, behind, cut, difference, overrides)
    torch.testing.assert_close(logits, vit.forward(model, images, overrides))
    assert (logits - model(images)).abs().max() > 1e-3


def test_units_are_computed_alone_only_where_that_saves_half_of_the_ffn() -> None:
    model = small_vit(dtype=torch.float64)
    block, names = 2, vit.ffn_matrices(model, [2])
    fc1, fc2 = (model.get_parameter(name) for name in names)
    units = len(fc1)

    def width(rows: int, columns: int, **more: torch.Tensor) -> int | None:
        new = {names[0]: fc1.clone(), names[1]: fc2.clone()}
        new[names[0]][:rows] += 1
        new[names[1]][:, units - columns :] += 1
        difference = vit.ffn_difference(model, block, {**new, **more})
        return None if difference is None else len(difference[names[0]])

    assert width(units // 4, 0) == units // 2, "a unit with new inputs is computed twice, as it is and as it was"
    assert width(units // 4 + 1, 0) is None
    assert width(0, units // 2) == units // 2
    assert width(0, 0) is None, "the noise floor is measured on the whole FFN"
    assert width(1, 1, **{"blocks.3.attn.qkv.weight": torch.ones(1)}) == 3, "other blocks do not matter"
    assert width(1, 1, **{"blocks.2.norm2.weight": torch.ones(24)}) is None
    assert width(1, 1, **{names[0]: torch.cat([fc1, fc1])}) is None
    last = vit.ffn_matrices(model, [5])
    assert vit.ffn_difference(model, 5, {last[0]: model.get_parameter(last[0])}) is None


def test_a_wider_ffn_is_taken() -> None:
    """One neuron more, as T-Patcher adds it, against an FFN built that wide."""
    model = small_vit(dtype=torch.float64)
    fc1, fc2 = model.blocks[5].mlp.fc1, model.blocks[5].mlp.fc2
    wider = {
        "blocks.5.mlp.fc1.weight": torch.cat([fc1.weight, torch.randn(1, 24, dtype=torch.float64)]),
        "blocks.5.mlp.fc1.bias": torch.cat([fc1.bias, torch.zeros(1, dtype=torch.float64)]),
        "blocks.5.mlp.fc2.weight": torch.cat([fc2.weight, torch.randn(24, 1, dtype=torch.float64)], dim=1),
    }
    cut = vit.cut_for(model, wider)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    built = small_vit(dtype=torch.float64)
    built.blocks[5].mlp.fc1 = torch.nn.Linear(24, 97, dtype=torch.float64)
    built.blocks[5].mlp.fc2 = torch.nn.Linear(97, 24, dtype=torch.float64)
    built.load_state_dict({**model.state_dict(), **wider})
    torch.testing.assert_close(
        vit.forward_tail(model, vit.forward_prefix(model, images, cut), cut, wider), built(images)
    )


def test_cuts_stop_at_the_first_thing_touched() -> None:
    model = small_vit()
    assert vit.cut_for(model, ["head.weight"]) == Cut(6)
    assert vit.cut_for(model, ["blocks.4.mlp.fc2.weight", "blocks.2.mlp.fc1.bias"]) == Cut(2, ffn=True)
    assert vit.cut_for(model, ["blocks.2.mlp.fc1.weight", "blocks.2.attn.qkv.weight"]) == Cut(2)
    assert vit.cut_for(model, ["pos_embed", "head.weight"]) is None
    assert vit.ffn_cut(model, ["blocks.4.mlp.fc2.weight", "blocks.1.mlp.fc1.weight"]) == Cut(1, ffn=True)


def test_the_eighth_to_tenth_ffns_of_twelve_blocks() -> None:
    """Paper, 4.1: three FFNs, six matrices, 14.16 M weights in a ViT-B/16, 16.5 % of its feature extractor."""
    with torch.device("meta"):
        model = timm.create_model("vit_base_patch16_224")
    names = vit.ffn_matrices(model)
    assert names[0] == "blocks.7.mlp.fc1.weight" and names[-1] == "blocks.9.mlp.fc2.weight" and len(names) == 6
    edited = sum(model.get_parameter(name).numel() for name in names)
    extractor = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("head."))
    assert edited == 14_155_776
    shares = [100 * (1 - sparsity) * edited / extractor for sparsity in (0.25, 0.5, 0.75, 0.9, 0.95)]
    assert shares == pytest.approx([12.4, 8.25, 4.13, 1.65, 0.83], abs=0.03)


def test_the_example_of_unit_masks() -> None:
    assert doctest.testmod(vit) == doctest.TestResults(failed=0, attempted=3)
