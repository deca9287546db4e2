"""LoRA against peft, on the same ViT with its queries, keys and values in three layers; its draw, knob and batches."""

from __future__ import annotations

import copy
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.models import vit
from editors.core.base import knob_of
from editors.core.edit import FailedEdit, WeightEdit
from editors.core.registry import choose
from editors.methods.lora import LoRA, LoRAConfig, draw_a, with_updates
from tests.conftest import small_vit
from tests.editors.conftest import failures

RATES = {"lr": 0.1, "max_steps": 40}


class Separate(nn.Module):
    """Plain attention with one layer each for queries, keys and values, as peft can adapt them."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        parts = zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True)
        self.q, self.k, self.v = (self.linear(weight, bias) for weight, bias in parts)
        self.proj, self.heads = attention.proj, attention.num_heads

    @staticmethod
    def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
        layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        layer.load_state_dict({"weight": weight, "bias": bias})
        return layer

    def forward(self, x: Tensor, **_: object) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        attention = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
        return self.proj((attention @ value).transpose(1, 2).flatten(2))


def with_peft(model: nn.Module, rank: int, a: Tensor) -> nn.Module:
    """The model under peft's adapters on every q and v, with A (blocks, 2, rank, N) copied in, and B as peft has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import LoraConfig, get_peft_model

    separate = copy.deepcopy(model)
    for block in separate.blocks:
        block.attn = Separate(block.attn)
    adapted = get_peft_model(separate, LoraConfig(r=rank, lora_alpha=rank, target_modules=["q", "v"])).double().eval()
    for block, own in zip(separate.blocks, a, strict=True):
        for layer, matrix in zip((block.attn.q, block.attn.v), own, strict=True):
            layer.lora_A["default"].weight.data.copy_(matrix)
    return adapted


def train(adapted: nn.Module, images: Tensor, labels: Tensor) -> int:
    """torch's Adam on peft's parameters with the shared stop rule; the number of steps."""
    optimizer = torch.optim.Adam([p for p in adapted.parameters() if p.requires_grad], lr=RATES["lr"])
    for step in range(RATES["max_steps"]):
        logits = adapted(images)
        loss = F.cross_entropy(logits, labels)
        if (logits.argmax(-1) == labels).all() and loss < 0.01:
            return step
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return RATES["max_steps"]


def test_the_same_steps_weights_and_logits_as_peft() -> None:
    model, editor = small_vit(dtype=torch.float64), LoRA(LoRAConfig(**RATES, rank=3))
    images, labels = failures(3)
    others = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    edits = editor.edit_many(model, images, labels, [5, 6, 7])
    assert len({edit.steps for edit in edits}) > 1 and min(edit.steps for edit in edits) > 1
    for number, edit in enumerate(edits):
        adapted = with_peft(model, 3, draw_a(model, 3, 5 + number))
        torch.testing.assert_close(adapted(others), model(others), rtol=1e-10, atol=1e-12)  # B is zero
        assert train(adapted, images[number], labels[number]) == edit.steps
        logits = vit.forward(model, others, edit.overrides)
        assert not torch.allclose(logits, model(others), atol=0.1)
        torch.testing.assert_close(logits, adapted(others), rtol=1e-7, atol=1e-8)
        torch.testing.assert_close(
            vit.forward_tail(model, vit.forward_prefix(model, others, vit.Cut(0)), vit.Cut(0), edit.overrides), logits
        )
        for index, block in enumerate(adapted.merge_and_unload().blocks):
            merged = torch.cat([block.attn.q.weight, block.attn.k.weight, block.attn.v.weight]).detach()
            torch.testing.assert_close(edit.overrides[f"blocks.{index}.attn.qkv.weight"], merged, rtol=1e-7, atol=1e-9)


def test_the_first_step_by_hand() -> None:
    """B = 0 stops A's gradient, so Adam's first step moves B alone, by lr * g / (|g| + 1e-8) with g = dW A^T."""
    model, images, labels = small_vit(dtype=torch.float64), *failures(1)
    edit = LoRA(LoRAConfig(lr=0.25, rank=2, max_steps=1)).edit_many(model, images, labels, [3])[0]
    name, a = "blocks.2.attn.qkv.weight", draw_a(model, 2, 3).double()[2]
    weight = model.get_parameter(name).clone().requires_grad_()
    F.cross_entropy(vit.forward(model, images[0], {name: weight}), labels[0]).backward()
    assert weight.grad is not None
    for part, own in ((0, a[0]), (2, a[1])):
        gradient = weight.grad.chunk(3)[part] @ own.mT
        b = -0.25 * gradient / (gradient.abs() + 1e-8)
        expected = weight.detach().chunk(3)[part] + b @ own
        torch.testing.assert_close(edit.overrides[name].chunk(3)[part], expected, rtol=1e-8, atol=1e-10)
    assert torch.equal(edit.overrides[name].chunk(3)[1], weight.detach().chunk(3)[1]), "keys stay as they are"


def test_updates_by_hand() -> None:
    """N = D = 2, rank 1: W_q + b_q a_q with a_q = (1, 2), b_q = (3, 4); keys stay; W_v + b_v a_v."""
    a = torch.tensor([[[[1.0, 2.0]], [[5.0, 6.0]]]])
    b = torch.tensor([[[[3.0], [4.0]], [[7.0], [8.0]]]])
    weights = with_updates(torch.ones(6, 2), a, b)
    assert weights.tolist() == [[[4.0, 7.0], [5.0, 9.0], [1.0, 1.0], [1.0, 1.0], [36.0, 43.0], [41.0, 49.0]]]


def test_a_is_drawn_as_the_reference_code_draws_it() -> None:
    model = small_vit()
    a = draw_a(model, 64, seed=1)
    assert a.shape == (6, 2, 64, 24)
    bound = 1 / math.sqrt(24)  # Kaiming with a = sqrt(5): gain sqrt(2 / 6), times sqrt(3 / N)
    assert a.abs().max() <= bound and a.abs().max() > 0.99 * bound
    assert a.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert torch.equal(a, draw_a(model, 64, seed=1)) and not torch.equal(a, draw_a(model, 64, seed=2))


def same(edit: WeightEdit, other: WeightEdit) -> None:
    assert edit.steps == other.steps
    assert edit.overrides.keys() == other.overrides.keys() == {f"blocks.{i}.attn.qkv.weight" for i in range(6)}
    for key, value in edit.overrides.items():
        torch.testing.assert_close(value, other.overrides[key], rtol=1e-7, atol=1e-9)


def test_batched_equals_one_at_a_time_and_a_call_under_torchs_seed() -> None:
    model, editor = small_vit(dtype=torch.float64), LoRA(LoRAConfig(lr=0.4, max_steps=25))
    images, labels = failures(3, samples=2)
    images[1, 0, 0, 0, 0] = torch.nan
    together = editor.edit_many(model, images, labels, [11, 12, 13])
    assert isinstance(together[1], FailedEdit) and "not finite" in together[1].reason
    assert together[0].steps != together[2].steps, "both leave the batch together, so leaving it is not tested"
    for number in (0, 2):
        same(together[number], editor.edit_many(model, images[[number]], labels[[number]], [11 + number])[0])
    torch.manual_seed(7)
    drawn = int(torch.randint(2**63 - 1, ()))
    torch.manual_seed(7)
    alone = editor.edit(model, images[0], labels[0])
    same(alone, editor.edit_many(model, images[:1], labels[:1], [drawn])[0])
    other = editor.edit_many(model, images[:1], labels[:1], [99])[0]
    name = "blocks.0.attn.qkv.weight"
    assert not torch.allclose(other.overrides[name], together[0].overrides[name], atol=1e-4), "the seed draws A"


def test_an_update_has_at_most_the_rank_and_the_base_stays() -> None:
    model = small_vit(dtype=torch.float64)
    before = copy.deepcopy(model.state_dict())
    images, labels = failures(1)
    edit = LoRA(LoRAConfig(**RATES, rank=2)).edit(model, images[0], labels[0])
    for name, value in edit.overrides.items():
        for part in (value - before[name]).chunk(3)[::2]:
            assert torch.linalg.matrix_rank(part, rtol=1e-8) == 2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_rank_is_a_whole_number_however_it_is_written() -> None:
    assert knob_of(LoRAConfig) == ("rank", (1, 2, 4, 8, 16, 32))
    swept = choose("lora", "vitb16").at_knob(4.0)
    assert swept.spec == "lora:rank=4" and choose(swept.spec, "vitb16").config == swept.config
    for wrong in (0, -1, 2.5, math.inf, math.nan):
        with pytest.raises(UserError, match="rank must be"):
            choose("lora", "vitb16").at_knob(wrong)
