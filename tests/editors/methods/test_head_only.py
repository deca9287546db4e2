"""Head-only fine-tuning against a plain loop on a copy, against the softmax gradient by hand, and its batches."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from benchmark.models import vit
from editors.core.edit import FailedEdit, WeightEdit
from editors.methods.finetune import FineTuneConfig
from editors.methods.head_only import HeadOnly
from tests.conftest import small_vit
from tests.editors.conftest import failures

RATES = {"lr": 0.02, "max_steps": 40}


@pytest.mark.parametrize("samples", [1, 2])
def test_against_a_plain_loop_on_a_copy(samples: int) -> None:
    model, editor = small_vit(dtype=torch.float64), HeadOnly(FineTuneConfig(**RATES))
    images, labels = failures(4, samples)
    before = copy.deepcopy(model.state_dict())
    edits = editor.edit_many(model, images, labels, [0] * 4)
    assert len({edit.steps for edit in edits}) > 1, "all stop together, so the stop rule is not tested"
    for number, edit in enumerate(edits):
        plain = copy.deepcopy(model)
        parameters = list(plain.head.requires_grad_().parameters())
        rmsprop, sgd = (kind(parameters, lr=RATES["lr"]) for kind in (torch.optim.RMSprop, torch.optim.SGD))
        steps = 0
        while steps < RATES["max_steps"]:
            logits = plain(images[number])
            loss = F.cross_entropy(logits, labels[number])
            if (logits.argmax(-1) == labels[number]).all() and loss < 0.01:
                break
            plain.zero_grad()
            loss.backward()
            (rmsprop if steps else sgd).step()
            steps += 1
        assert edit.steps == steps
        assert edit.overrides.keys() == {"head.weight", "head.bias"}
        for name, value in edit.overrides.items():
            torch.testing.assert_close(value, plain.get_parameter(name).detach(), rtol=1e-8, atol=1e-10)
        assert vit.cut_for(model, edit.overrides) == vit.Cut(6), "only the final norm and the head run again"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_first_step_by_hand() -> None:
    """Plain SGD: W - lr (softmax - onehot) e(x)^T and b - lr (softmax - onehot)."""
    model = small_vit(dtype=torch.float64)
    images, labels = failures(1)
    edit = HeadOnly(FineTuneConfig(lr=0.5, max_steps=1)).edit(model, images[0], labels[0])
    residual = model(images[0])[0].softmax(-1) - F.one_hot(labels[0, 0], 1000)
    feature = model.forward_features(images[0])[0, 0]
    weight, bias = model.get_parameter("head.weight"), model.get_parameter("head.bias")
    torch.testing.assert_close(edit.overrides["head.weight"], weight - 0.5 * torch.outer(residual, feature))
    torch.testing.assert_close(edit.overrides["head.bias"], bias - 0.5 * residual)


def test_batched_equals_one_at_a_time_and_a_broken_one_fails_alone() -> None:
    model, editor = small_vit(dtype=torch.float64), HeadOnly(FineTuneConfig(**RATES))
    images, labels = failures(5, samples=2)
    images[1, 0, 0, 0, 0] = torch.nan
    together = editor.edit_many(model, images, labels, list(range(5)))
    for number, edit in enumerate(together):
        alone = editor.edit(model, images[number], labels[number])
        assert alone.steps == edit.steps
        assert type(edit) is type(alone) is (FailedEdit if number == 1 else WeightEdit)
        for name, value in edit.overrides.items() if isinstance(edit, WeightEdit) else ():
            torch.testing.assert_close(value, alone.overrides[name], rtol=1e-9, atol=1e-12)


def test_a_head_without_a_bias() -> None:
    model = small_vit(dtype=torch.float64)
    model.head = torch.nn.Linear(24, 1000, bias=False, dtype=torch.float64).requires_grad_(False)
    images, labels = failures(2)
    edits = HeadOnly(FineTuneConfig(lr=0.05)).edit_many(model, images, labels, [0, 0])
    for edit, image, label in zip(edits, images, labels, strict=True):
        assert edit.overrides.keys() == {"head.weight"}
        assert vit.forward(model, image, edit.overrides).argmax(-1) == label
