"""The edit loop: batched against one at a time, against torch's own optimiser, and its stop rule."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from benchmark.models import vit
from editors.core.descent import LOSS_BELOW, Descent, DescentConfig, Trainable, descend, weight_edits
from editors.core.edit import FailedEdit
from editors.core.masks import keep_top
from editors.methods.finetune import FineTune, FineTuneConfig, FineTuneL1, FineTuneL2, PenaltyConfig
from editors.methods.masked import MaskedConfig
from editors.methods.random_mask import RandomMask
from tests.conftest import small_vit
from tests.editors.conftest import failures

RATES = {"lr": 0.002, "max_steps": 40}
EDITORS = {
    "ft": FineTune(FineTuneConfig(**RATES)),
    "ft-l1": FineTuneL1(PenaltyConfig(**RATES, c=0.01)),
    "ft-l2": FineTuneL2(PenaltyConfig(**RATES, c=0.1)),
    "random-mask": RandomMask(MaskedConfig(**RATES, sparsity=0.5)),
}


def plain_finetuning(model, image, label, lr, max_steps, masks=None, sgd_first=True, penalty=None):
    """The released loop, written plainly: a copy of the model, full forwards, torch.optim.RMSprop."""
    edited = copy.deepcopy(model)
    names = vit.ffn_matrices(model)
    parameters = [edited.get_parameter(name).requires_grad_() for name in names]
    originals = [model.get_parameter(name) for name in names]
    rmsprop, sgd = torch.optim.RMSprop(parameters, lr=lr), torch.optim.SGD(parameters, lr=lr)
    for step in range(max_steps):
        logits = edited(image)
        loss = F.cross_entropy(logits, label)
        if (logits.argmax(-1) == label).all() and loss < 0.01:
            return edited, step
        if penalty is not None:
            loss = loss + sum(penalty(p - o) for p, o in zip(parameters, originals, strict=True))
        edited.zero_grad()
        loss.backward()
        for name, parameter in zip(names, parameters, strict=True):
            if masks is not None:
                parameter.grad *= masks[name]
        (sgd if step == 0 and sgd_first else rmsprop).step()
    return edited, max_steps


PLAIN = {
    "ft": {},
    "ft-l1": {"penalty": lambda delta: 0.01 * delta.abs().sum()},
    "ft-l2": {"penalty": lambda delta: 0.05 * delta.square().sum()},
    "random-mask": {"sgd_first": False},
}


@pytest.mark.parametrize("name", EDITORS)
def test_against_a_plain_loop_with_torchs_own_optimiser(name: str) -> None:
    model, editor = small_vit(dtype=torch.float64), EDITORS[name]
    images, labels = failures(5)
    seeds = list(range(5))
    edits = editor.edit_many(model, images, labels, seeds)
    masks = editor.masks(model, images, labels, seeds)
    assert len({edit.steps for edit in edits}) > 1, "all stop together, so the stop rule is not tested"
    for number, edit in enumerate(edits):
        own = {key: mask[number] for key, mask in masks.items()} or None
        plain, steps = plain_finetuning(model, images[number], labels[number], **RATES, masks=own, **PLAIN[name])
        assert edit.steps == steps
        for key, value in edit.overrides.items():
            torch.testing.assert_close(value, plain.get_parameter(key).detach(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", EDITORS)
def test_batched_equals_one_at_a_time(name: str) -> None:
    model, editor = small_vit(dtype=torch.float64), EDITORS[name]
    images, labels = failures(7, samples=2)
    together = editor.edit_many(model, images, labels, list(range(7)))
    for number, edit in enumerate(together):
        alone = editor.edit_many(model, images[number][None], labels[number][None], [number])[0]
        assert alone.steps == edit.steps
        assert alone.overrides.keys() == edit.overrides.keys()
        for key, value in edit.overrides.items():
            torch.testing.assert_close(value, alone.overrides[key], rtol=1e-9, atol=1e-12)


def test_several_samples_an_edit_share_one_loss_their_mean() -> None:
    """The first step is plain SGD, so a loss of another scale would be another edit."""
    model, editor = small_vit(dtype=torch.float64), EDITORS["ft"]
    images, labels = failures(4, samples=2)
    for number, edit in enumerate(editor.edit_many(model, images, labels, [0] * 4)):
        plain, steps = plain_finetuning(model, images[number], labels[number], **RATES)
        assert edit.steps == steps
        for key, value in edit.overrides.items():
            torch.testing.assert_close(value, plain.get_parameter(key).detach(), rtol=1e-8, atol=1e-10)


def test_the_settings_that_nobody_writes_are_the_papers() -> None:
    """Paper, 4.1: until right and cross-entropy below 0.01; SPEC, 5: 100 steps, 2e-5 for a ViT-B/16."""
    config = FineTuneConfig()
    assert (config.lr, config.max_steps, LOSS_BELOW) == (2e-5, 100, 0.01)


def test_a_finished_edit_is_right_and_sure_and_takes_no_step_too_many() -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(5)
    for number, edit in enumerate(EDITORS["ft"].edit_many(model, images, labels, [0] * 5)):
        if edit.steps < RATES["max_steps"]:
            logits = vit.forward(model, images[number], edit.overrides)
            assert logits.argmax(-1) == labels[number] and F.cross_entropy(logits, labels[number]) < 0.01
            shorter = FineTune(FineTuneConfig(lr=RATES["lr"], max_steps=edit.steps - 1))
            before = shorter.edit(model, images[number], labels[number])
            assert F.cross_entropy(vit.forward(model, images[number], before.overrides), labels[number]) >= 0.01


def test_a_loss_that_is_not_finite_ends_that_edit_alone() -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(3)
    images[1, 0, 0, 0, 0] = torch.nan
    edits = EDITORS["ft"].edit_many(model, images, labels, [0] * 3)
    assert isinstance(edits[1], FailedEdit) and "not finite" in edits[1].reason
    alone = EDITORS["ft"].edit_many(model, images[2:], labels[2:], [0])[0]
    for key, value in edits[2].overrides.items():
        torch.testing.assert_close(value, alone.overrides[key], rtol=1e-9, atol=1e-12)


def test_a_failed_edit_says_after_how_many_steps() -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(2)
    for edit in FineTune(FineTuneConfig(lr=1e200, max_steps=9)).edit_many(model, images, labels, [0, 0]):
        assert isinstance(edit, FailedEdit) and edit.steps == 1 and edit.reason.endswith("after 1 steps")


def test_adam_keeps_its_state_when_others_leave() -> None:
    """Adam's state has a scalar step beside tensors of the weight's shape; compaction must keep both right."""
    model = small_vit(dtype=torch.float64)
    names = vit.ffn_matrices(model)
    cut = vit.ffn_cut(model, names)
    images, labels = failures(5)
    tokens = vit.forward_prefix(model, images.flatten(0, 1), cut).unflatten(0, (5, 1))
    config = DescentConfig(0.001, "adam", max_steps=40)

    def forward(weights: Trainable, tokens: torch.Tensor) -> torch.Tensor:
        return vit.forward_tail(model, tokens, cut, weights)

    def run(rows: slice) -> list[Descent]:
        start = {name: model.get_parameter(name).expand(len(labels[rows]), -1, -1) for name in names}
        return descend(forward, tokens[rows], labels[rows], start, config)

    together = run(slice(None))
    assert len({descent.steps for descent in together}) > 1
    for number, descent in enumerate(together):
        alone = run(slice(number, number + 1))[0]
        assert alone.steps == descent.steps
        for name in names:
            torch.testing.assert_close(descent.values[name], alone.values[name], rtol=1e-9, atol=1e-12)


def test_what_is_trained_need_not_be_weights() -> None:
    """One logit a failure, moved by Adam; the edits are made of the trained value and of nothing else."""
    labels, config = torch.tensor([[0], [1]]), DescentConfig(0.5, "adam", max_steps=50)

    def forward(trainable: Trainable, tokens: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros_like(trainable["logit"]), trainable["logit"]], dim=-1)[:, None]

    first, second = descend(forward, torch.zeros(2, 1, 1, 1), labels, {"logit": torch.zeros(2)}, config)
    assert first.values["logit"] < -4.5 and second.values["logit"] > 4.5  # log(e^0.01 - 1) = -4.6
    failed = Descent({}, 7, "overflow")
    edits = weight_edits([first, failed], lambda values: {"head.bias": 2 * values["logit"][:, None]})
    assert torch.equal(edits[0].overrides["head.bias"], 2 * first.values["logit"][None])
    assert edits[0].overrides.keys() == {"head.bias"} and edits[0].steps == first.steps
    assert edits[1] == FailedEdit("overflow", 7)


def test_masks_keep_exactly_k_units_and_nothing_else_moves() -> None:
    scores = torch.rand(3, 6, 96)
    for sparsity, kept in ((0.25, 432), (0.5, 288), (0.75, 144), (0.9, 58), (0.95, 29), (1.0, 0), (0.0, 576)):
        mask = keep_top(scores, sparsity)
        assert mask.flatten(1).sum(1).tolist() == [kept] * 3
        if 0 < kept < 576:
            assert scores[mask].view(3, -1).min(1).values.gt(scores[~mask].view(3, -1).max(1).values).all()
    ties = keep_top(torch.zeros(1, 6, 96), 0.95)
    assert ties.sum() == 29
    model = small_vit(dtype=torch.float64)
    images, labels = failures(2)
    editor = RandomMask(MaskedConfig(lr=0.01, max_steps=3, sparsity=0.95))
    for number, edit in enumerate(editor.edit_many(model, images, labels, [7, 8])):
        moved = 0
        for name, value in edit.overrides.items():
            delta = (value - model.get_parameter(name)) != 0
            units = delta.any(1) if ".fc1." in name else delta.any(0)
            moved += int(units.sum())
        assert 0 < moved <= 29
        again = editor.edit_many(model, images[number][None], labels[number][None], [7 + number])[0]
        for name, value in edit.overrides.items():
            weight = model.get_parameter(name)
            assert torch.equal(value != weight, again.overrides[name] != weight), "the seed chooses the units"


def test_the_base_is_left_alone() -> None:
    model = small_vit()
    before = copy.deepcopy(model.state_dict())
    images, labels = failures(3)
    for editor in EDITORS.values():
        editor.edit_many(model, images.float(), labels, [0, 1, 2])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
