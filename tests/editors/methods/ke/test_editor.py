"""KE's edit against a plain one: copies of the model, full forwards, autograd, and the formula with dense loops."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer

from benchmark.core.errors import UserError
from benchmark.models import vit
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from benchmark.models.vit import last_ffn_matrices
from editors.core.base import knob_of
from editors.core.edit import FailedEdit, WeightEdit
from editors.methods.ke.checkpoint import load
from editors.methods.ke.editor import KnowledgeEditor, KnowledgeEditorConfig
from tests.conftest import PREPROCESSING, small_vit
from tests.editors.methods.ke.conftest import write_checkpoint

STRENGTH = 0.03  # of the descent, so that edits take from one to all of the steps allowed


@pytest.fixture
def model() -> VisionTransformer:
    return small_vit(dtype=torch.float64)


@pytest.fixture
def path(model: VisionTransformer, tmp_path: Path) -> Path:
    base = BaseModel("small", model, PREPROCESSING, hash_weights(model))
    return write_checkpoint(tmp_path / "ke.safetensors", base, STRENGTH)


def failures(model: VisionTransformer, count: int, samples: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Views of noise, and for each failure one of the base's likelier classes."""
    generator = torch.Generator().manual_seed(4)
    first = torch.randn(count, 1, 3, 32, 32, generator=generator, dtype=torch.float64)
    more = 0.1 * torch.randn(count, samples, 3, 32, 32, generator=generator, dtype=torch.float64)
    images = first + more
    ranked = model(images[:, 0]).argsort(-1, descending=True)
    labels = torch.stack([ranked[number, 3 * number + 3] for number in range(count)])
    return images, labels[:, None].expand(count, samples)


def plain_edit(model, network, images, labels, scale, max_steps):
    """One failure: conditions of the base, once; the network's change is written out, applied until all are right."""
    edited, names = copy.deepcopy(model), last_ffn_matrices(model)
    conditions = []
    for image, label in zip(images, labels, strict=True):
        feature = model.forward_head(model.forward_features(image[None]), pre_logits=True)[0]
        parts = (feature, model.head.weight[model(image[None])[0].argmax()], model.head.weight[label])
        conditions.append(torch.cat([(x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt() for x in parts]))
    condition = torch.stack(conditions).mean(0)
    steps, parameters = 0, [edited.get_parameter(name).requires_grad_() for name in names]
    while steps < max_steps and not ((logits := edited(images)).argmax(-1) == labels).all():
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels), parameters)
        for head, parameter, gradient in zip(network.heads, parameters, gradients, strict=True):
            rows, columns = parameter.shape
            sizes = [columns, rows, columns, rows, 1]
            col_a, row_a, col_b, row_b, eta = head(network.shared(condition)).split(sizes)
            rank_one = torch.outer(row_a.softmax(0), col_a) * gradient + torch.outer(row_b.softmax(0), col_b)
            parameter.data += scale * torch.sigmoid(eta) * rank_one
        steps += 1
    return edited, steps


@pytest.mark.parametrize("samples", [1, 2])
def test_against_a_plain_edit_one_at_a_time(model: VisionTransformer, path: Path, samples: int) -> None:
    config = KnowledgeEditorConfig(scale=2.0, max_steps=12, checkpoint=path)
    images, labels = failures(model, 6, samples)
    edits = KnowledgeEditor(config).edit_many(model, images, labels, [0] * 6)
    network = load(path, hash_weights(model)).network.double()
    assert len({edit.steps for edit in edits}) > 2, "they stop together, so that leaving the batch is not tested"
    for number, edit in enumerate(edits):
        plain, steps = plain_edit(model, network, images[number], labels[number], config.scale, config.max_steps)
        assert edit.steps == steps and isinstance(edit, WeightEdit)
        for name in last_ffn_matrices(model):
            torch.testing.assert_close(edit.overrides[name], plain.get_parameter(name).detach(), rtol=1e-9, atol=1e-12)


def test_batched_equals_one_at_a_time(model: VisionTransformer, path: Path) -> None:
    editor = KnowledgeEditor(KnowledgeEditorConfig(scale=2.0, max_steps=12, checkpoint=path))
    images, labels = failures(model, 5, samples=2)
    for number, edit in enumerate(editor.edit_many(model, images, labels, list(range(5)))):
        alone = editor.edit(model, images[number], labels[number])
        assert alone.steps == edit.steps and alone.overrides.keys() == edit.overrides.keys()
        for name, value in edit.overrides.items():
            torch.testing.assert_close(value, alone.overrides[name], rtol=1e-9, atol=1e-12)


def test_it_stops_as_soon_as_all_are_right_and_not_before(model: VisionTransformer, path: Path) -> None:
    images, labels = failures(model, 5, samples=2)

    def edits(max_steps: int) -> list:
        config = KnowledgeEditorConfig(scale=2.0, max_steps=max_steps, checkpoint=path)
        return KnowledgeEditor(config).edit_many(model, images, labels, [0] * 5)

    for number, edit in enumerate(edits(12)):
        right = (vit.forward(model, images[number], edit.overrides).argmax(-1) == labels[number]).all()
        assert right or edit.steps == 12
        before = edits(edit.steps - 1)[number]
        assert not (vit.forward(model, images[number], before.overrides).argmax(-1) == labels[number]).all()
    right_already = model(images[0]).argmax(-1)[None, :1]
    unchanged = KnowledgeEditor(KnowledgeEditorConfig(checkpoint=path)).edit_many(
        model, images[:1, :1], right_already, [0]
    )
    assert unchanged[0].steps == 0
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in unchanged[0].overrides.items())


def test_the_scale_is_the_knob(model: VisionTransformer, path: Path) -> None:
    assert knob_of(KnowledgeEditorConfig) == ("scale", (0.1, 0.25, 0.5, 1.0, 2.0, 4.0))
    images, labels = failures(model, 1)
    single, triple = (
        KnowledgeEditor(KnowledgeEditorConfig(scale=scale, max_steps=1, checkpoint=path)).edit(
            model, images[0], labels[0]
        )
        for scale in (0.1, 0.3)
    )
    for name in last_ffn_matrices(model):
        weight = model.get_parameter(name)
        torch.testing.assert_close(triple.overrides[name] - weight, 3 * (single.overrides[name] - weight))


def test_what_is_not_finite_fails_alone(model: VisionTransformer, path: Path) -> None:
    images, labels = failures(model, 3)
    images[1, 0, 0, 0, 0] = torch.nan
    editor = KnowledgeEditor(KnowledgeEditorConfig(scale=2.0, checkpoint=path))
    edits = editor.edit_many(model, images, labels, [0] * 3)
    assert isinstance(edits[1], FailedEdit) and "not finite" in edits[1].reason
    alone = editor.edit(model, images[2], labels[2])
    for name, value in edits[2].overrides.items():
        torch.testing.assert_close(value, alone.overrides[name], rtol=1e-9, atol=1e-12)
    huge = KnowledgeEditor(KnowledgeEditorConfig(scale=1e300, checkpoint=path)).edit_many(
        model, images, labels, [0] * 3
    )
    assert all(isinstance(edit, FailedEdit) for edit in huge)


def test_base_and_network_are_left_alone(model: VisionTransformer, path: Path) -> None:
    editor = KnowledgeEditor(KnowledgeEditorConfig(checkpoint=path))
    assert editor.state_dict() == {} and editor.provenance() == {}
    images, labels = failures(model, 2)
    editor.edit_many(model, images, labels, [0, 1])
    state, before = editor.state_dict(), hash_weights(model)
    fresh = load(path, before).network.state_dict()
    assert state.keys() == fresh.keys() and all(torch.equal(state[name], fresh[name]) for name in fresh)
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    assert before == hash_weights(small_vit(dtype=torch.float64))
    assert editor.provenance()["data"] == "data" and editor.provenance()["iteration"] == "5"


def test_without_a_checkpoint_for_the_base(vit: VisionTransformer, path: Path) -> None:
    images, labels = torch.zeros(1, 1, 3, 32, 32), torch.zeros(1, 1, dtype=torch.long)
    with pytest.raises(UserError, match=r"no trained .*ke for this base model .*editors.train ke"):
        KnowledgeEditor().edit_many(vit, images, labels, [0])
    with pytest.raises(UserError, match="not for this base model"):
        KnowledgeEditor(KnowledgeEditorConfig(checkpoint=path)).edit_many(vit, images, labels, [0])
    with pytest.raises(UserError, match="class indices"):
        KnowledgeEditor().edit_many(vit, images, labels + 5000, [0])
