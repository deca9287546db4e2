"""The contract of every registered editor, on a small random ViT and on timm's vit_tiny (random weights)."""

from __future__ import annotations

import copy
import dataclasses
from functools import lru_cache

import pytest
import timm
import torch
from torch import Tensor

from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from benchmark.models.vit import cut_for, forward_prefix, forward_tail
from editors.core.base import Editor
from editors.core.edit import Edit, FailedEdit, TailEdit, WeightEdit
from editors.core.modules import to_edit
from editors.core.registry import built_in, choose
from tests.conftest import PREPROCESSING, small_vit
from tests.editors.conftest import add_untrained, training_pool

EDITING = [name for name in built_in() if name != "null-edit"]  # it computes no loss, and so has none to report
SEEDS = [11, 12]


@lru_cache
def base_of(architecture: str) -> BaseModel:
    """A random base in float64, whose logits differ between images."""
    if architecture == "small":
        model = small_vit(dtype=torch.float64)
        return BaseModel(architecture, model, PREPROCESSING, hash_weights(model))
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=112)  # a quarter of the tokens, for time
    torch.nn.init.normal_(model.head.weight)
    model = model.double().eval().requires_grad_(False)
    return BaseModel(architecture, model, dataclasses.replace(PREPROCESSING, size=112, resize=112), hash_weights(model))


def failures(base: BaseModel) -> tuple[Tensor, Tensor]:
    """Two failures of one sample each: images (2, 1, 3, H, W), labels (2, 1)."""
    random = torch.Generator().manual_seed(4)
    size = base.preprocessing.size
    images = torch.randn(2, 1, 3, size, size, generator=random, dtype=torch.float64)
    return images, torch.randint(0, 1000, (2, 1), generator=random)


def fitted(name: str, base: BaseModel) -> Editor:
    """The editor with few, large steps, ready to edit this base."""
    choice = choose(name, "small")
    few = {"lr": 0.002, "max_steps": 2}
    fields = {field.name for field in dataclasses.fields(choice.config)}
    changed = {setting: value for setting, value in few.items() if setting in fields}
    editor = dataclasses.replace(choice, config=dataclasses.replace(choice.config, **changed)).make()
    torch.manual_seed(0)
    editor.fit(base.module, training_pool(base.preprocessing))
    return editor


@dataclasses.dataclass
class Case:
    """An editor that has edited two failures of a base, and the base's hash before."""

    base: BaseModel
    editor: Editor
    images: Tensor
    labels: Tensor
    edits: list[Edit]

    def run(self, rows: list[int], editor: Editor | None = None) -> list[Edit]:
        """The edits of some of the failures, made anew."""
        seeds = [SEEDS[row] for row in rows]
        edits = (editor or self.editor).edit_many(self.base.module, self.images[rows], self.labels[rows], seeds)
        return [to_edit(self.base.module, edit, self.images[row]) for row, edit in zip(rows, edits, strict=True)]

    def probes(self) -> Tensor:
        """Other images to judge an edit on, and the edited ones, (4, 3, H, W)."""
        random = torch.Generator().manual_seed(5)
        others = torch.randn(2, *self.images.shape[2:], generator=random, dtype=torch.float64)
        return torch.cat([others, self.images.flatten(0, 1)])


@pytest.fixture(scope="module", params=["small", "vit_tiny"])
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=built_in())
def case(architecture: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_EDIT_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        base = base_of(architecture)
        add_untrained(base, tmp_path_factory.mktemp("shipped"), patch)
        case = Case(base, fitted(request.param, base), *failures(base), [])
    case.edits = case.run([0, 1])
    return case


def fast(case: Case, edit: Edit, images: Tensor) -> Tensor:
    """Logits as the harness computes them: cached prefix, then the tail."""
    model = case.base.module
    if isinstance(edit, TailEdit):
        return edit.tail(forward_prefix(model, images, edit.cut))
    assert isinstance(edit, WeightEdit)
    cut = cut_for(model, edit.overrides)
    return forward_tail(model, forward_prefix(model, images, cut), cut, edit.overrides)


def slow(case: Case, edit: Edit, image: Tensor) -> Tensor:
    """Logits of one image (1, 3, H, W) by timm's own forward of a changed copy; a tail edit is put in by a hook."""
    edited = copy.deepcopy(case.base.module)
    if isinstance(edit, WeightEdit):
        for name, value in edit.overrides.items():
            owner, _, field = name.rpartition(".")
            setattr(edited.get_submodule(owner), field, torch.nn.Parameter(value, requires_grad=False))
        return edited(image)
    assert isinstance(edit, TailEdit)
    seen: list[Tensor] = []
    (edited.blocks[edit.cut.block].norm2 if edit.cut.ffn else edited.blocks[edit.cut.block]).register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    edited(image)
    return edit.tail(seen[0])


@torch.no_grad()
def test_the_fast_path_equals_the_full_forward_of_the_edited_model(case: Case) -> None:
    images = case.probes()
    for edit in case.edits:
        logits = fast(case, edit, images)
        assert logits.shape == (len(images), case.base.module.num_classes) and logits.isfinite().all()
        plain = torch.cat([slow(case, edit, image[None]) for image in images])
        torch.testing.assert_close(logits, plain, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_an_edit_changes_the_edited_image(case: Case, request: pytest.FixtureRequest) -> None:
    """All but the null edit, which may not."""
    nothing = request.node.callspec.params["case"] not in EDITING
    for edit, image in zip(case.edits, case.images, strict=True):
        same = torch.allclose(fast(case, edit, image), case.base.module(image), rtol=1e-9, atol=1e-9)
        assert same == nothing


@torch.no_grad()
def equal(edit: Edit, other: Edit, images: Tensor, case: Case, exactly: bool = True) -> bool:
    """The same steps, overrides and logits; to rounding if not `exactly`."""
    tolerance = {"rtol": 0, "atol": 0} if exactly else {"rtol": 1e-6, "atol": 1e-9}
    pairs = [(fast(case, edit, images), fast(case, other, images))]
    if isinstance(edit, WeightEdit):
        if edit.overrides.keys() != other.overrides.keys():
            return False
        pairs += [(edit.overrides[name], other.overrides[name]) for name in edit.overrides]
    return edit.steps == other.steps and all(torch.allclose(a, b, **tolerance) for a, b in pairs)


def test_the_same_seed_gives_the_same_edit_and_nothing_is_carried_over(case: Case) -> None:
    """Again, in a batch and alone, after another failure, and with a damaged global source of randomness."""
    before = {name: tensor.clone() for name, tensor in case.editor.state_dict().items()}
    images = case.probes()
    torch.manual_seed(99)
    for edit, again in zip(case.edits, case.run([0, 1]), strict=True):
        assert equal(edit, again, images, case)
    second, first = case.run([1]), case.run([0])
    assert equal(case.edits[0], first[0], images, case, exactly=False)
    assert equal(case.edits[1], second[0], images, case, exactly=False)
    after = case.editor.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def test_the_base_stays_as_it_is(case: Case) -> None:
    assert hash_weights(case.base.module) == case.base.weights_sha256
    assert not any(parameter.requires_grad for parameter in case.base.module.parameters())
    assert all(parameter.grad is None for parameter in case.base.module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in case.base.module.modules())


def test_a_loss_that_is_not_finite_is_a_failed_edit_of_that_failure_alone(
    case: Case, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["case"] not in EDITING:
        pytest.skip("it computes no loss")
    images = case.images.clone()
    images[1] = torch.nan
    edits = case.editor.edit_many(case.base.module, images, case.labels, SEEDS)
    good, broken = (to_edit(case.base.module, edit, image) for edit, image in zip(edits, images, strict=True))
    assert isinstance(broken, FailedEdit)
    assert equal(good, case.edits[0], case.probes(), case, exactly=False)


@pytest.mark.parametrize("name", built_in())
def test_its_settings_come_back_from_what_it_writes(name: str) -> None:
    choice = choose(name, "vitb16")
    written = {key: value for key, value in dataclasses.asdict(choice.config).items() if value is not None}
    spec = ",".join(f"{key}={value}" for key, value in written.items())
    assert choose(f"{name}:{spec}" if spec else name, "vitb16").config == choice.config
