"""The four kinds of an edit: what cannot be written, and what is made of what an editor returns."""

from __future__ import annotations

import copy

import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.models.vit import Cut
from editors.core.edit import Edit, FailedEdit, ModuleEdit, TailEdit, WeightEdit
from editors.core.modules import to_edit
from tests.conftest import small_vit

MODEL = small_vit(depth=2)
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def tail(tokens: torch.Tensor) -> torch.Tensor:
    return tokens[:, 0]


def test_a_tail_without_a_cut_cannot_be_written() -> None:
    """It was scored as the base once, with SR 0 and LR 100, and nobody was told."""
    with pytest.raises(TypeError, match="cut"):
        TailEdit(tail)  # type: ignore[call-arg]
    for cut in (None, 1, (1, True)):
        with pytest.raises(TypeError, match="must be a Cut, not"):
            TailEdit(tail, cut)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be callable, not Tensor"):
        TailEdit(torch.zeros(3), Cut(1))  # type: ignore[arg-type]
    assert TailEdit(tail, Cut(1), steps=2).cut == Cut(1)


def test_no_edit_is_two_kinds_at_once() -> None:
    """A tail beside overrides dropped the overrides once."""
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        TailEdit(tail, Cut(1), overrides={"head.bias": torch.zeros(1000)})  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        WeightEdit({"head.bias": torch.zeros(1000)}, tail=tail)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Edit()  # type: ignore[operator]


def test_every_kind_is_an_edit_and_passes_as_it_is() -> None:
    for edit in (WeightEdit({}), TailEdit(tail, Cut(1)), ModuleEdit(MODEL), FailedEdit("overflow")):
        assert isinstance(edit, Edit) and to_edit(MODEL, edit, IMAGES) is edit


def test_what_a_returned_model_stands_for() -> None:
    other = copy.deepcopy(MODEL)
    other.head.bias.data += 1
    edit = to_edit(MODEL, other, IMAGES)
    assert isinstance(edit, WeightEdit) and edit.overrides.keys() == {"head.bias"}
    assert torch.equal(edit.overrides["head.bias"], MODEL.head.bias + 1)
    other.blocks[1].mlp.act = torch.nn.ReLU()
    assert to_edit(MODEL, other, IMAGES) == ModuleEdit(other)


def test_what_is_no_edit_says_why() -> None:
    infinite = WeightEdit({"head.bias": torch.full((1000,), torch.inf)}, steps=4)
    assert to_edit(MODEL, infinite, IMAGES) == FailedEdit("head.bias is not finite", steps=4)
    with pytest.raises(UserError, match="must return an edit or a model, not dict"):
        to_edit(MODEL, {"head.bias": torch.zeros(1000)}, IMAGES)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r'is called "head\.weights"; did you mean "head\.weight"'):
        to_edit(MODEL, WeightEdit({"head.weights": torch.zeros(1000)}), IMAGES)
    with pytest.raises(UserError, match="the base model itself"):
        to_edit(MODEL, MODEL, IMAGES)
    with pytest.raises(UserError, match="the base model itself"):
        to_edit(MODEL, torch.compile(MODEL), IMAGES)


def test_a_compiled_copy_and_one_that_is_not_finite_are_known_by_their_weights() -> None:
    """Compiling takes a minute and changes torch; NaN is no logit that could be compared."""
    other = copy.deepcopy(MODEL)
    other.head.bias.data += 1
    edit = to_edit(MODEL, torch.compile(other), IMAGES)
    assert isinstance(edit, WeightEdit) and edit.overrides.keys() == {"head.bias"}
    other.head.bias.data[3] = torch.nan
    assert to_edit(MODEL, other, IMAGES) == FailedEdit("head.bias is not finite")


def test_an_ffn_may_get_another_width_in_all_its_tensors() -> None:
    mlp = MODEL.blocks[1].mlp
    names = {"fc1.weight": mlp.fc1.weight[:7], "fc1.bias": mlp.fc1.bias[:7], "fc2.weight": mlp.fc2.weight[:, :7]}
    wider = WeightEdit({f"blocks.1.mlp.{name}": value for name, value in names.items()})
    assert to_edit(MODEL, wider, IMAGES) is wider
