"""Knowledge neurons: attributions against captum, units that move in pairs, and the published edit by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients

from benchmark.models import vit
from editors.core.edit import FailedEdit, WeightEdit
from editors.methods import kn
from editors.methods.kn import KnowledgeNeurons, KnowledgeNeuronsConfig, attributions, overwrite, unit_ranks
from tests.conftest import small_vit
from tests.editors.conftest import failures


def activations_at_cls(model, images: torch.Tensor, block: int) -> torch.Tensor:
    """Seen by a hook in timm's own forward, (k, N_m)."""
    seen = []
    handle = model.blocks[block].mlp.act.register_forward_hook(lambda *call: seen.append(call[-1][:, 0].clone()))
    model(images)
    handle.remove()
    return seen[0]


def by_captum(model, image: torch.Tensor, label: int, block: int) -> torch.Tensor:
    """The same attribution by another library, on timm's own forward with the activation put in by a hook."""

    def probabilities(activation: torch.Tensor) -> torch.Tensor:
        def put(module, inputs, output):
            return torch.cat([activation[:, None], output[:, 1:]], dim=1)

        handle = model.blocks[block].mlp.act.register_forward_hook(put)
        logits = model(image.expand(len(activation), -1, -1, -1))
        handle.remove()
        return logits.softmax(-1)

    activation = activations_at_cls(model, image[None], block)
    attribution = IntegratedGradients(probabilities).attribute(
        activation, torch.zeros_like(activation), target=label, n_steps=20, method="riemann_left"
    )
    return attribution[0] / (20 * torch.tensor(1 / 20, dtype=torch.float32).item())  # it rounds its step to float32


@pytest.fixture
def exact_points():
    """captum makes its points in torch's default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("exact_points")
@pytest.mark.parametrize("settings", [{}, {"depth": 3}, {"init_values": 0.3}])
def test_attributions_are_captums(settings: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """With three blocks the last FFN is edited too, behind which only [cls] is left; with layer scale as well."""
    model = small_vit(dtype=torch.float64, **settings)
    images, labels = (part.flatten(0, 1) for part in failures(3, seed=5))
    labels = model(images).topk(3).indices[:, 2]  # probable enough for attributions that are not tiny
    neurons = attributions(model, images, labels)
    monkeypatch.setattr(kn, "VALUES_AT_ONCE", 1)
    torch.testing.assert_close(attributions(model, images, labels), neurons, rtol=1e-10, atol=1e-15)
    assert neurons.shape == (3, 3, vit.hidden_width(model)) and neurons.abs().amax(-1).min() > 1e-6
    for number, image in enumerate(images):
        for ffn, block in enumerate(vit.edited_blocks(model)):
            expected = by_captum(model, image, int(labels[number]), block)
            torch.testing.assert_close(neurons[number, ffn], expected, rtol=1e-10, atol=1e-15)


def test_places_by_hand() -> None:
    """Two FFNs of three neurons: the best is FFN 1's last, then FFN 0's first, then two that are equal."""
    neurons = torch.tensor([[[0.5, -1.0, 0.2], [-2.0, 0.2, 0.9]]])
    keys_0, values_0, keys_1, values_1 = unit_ranks(neurons)[0].neg().tolist()
    assert values_0 == [2, 8, 4] and keys_0 == [3, 9, 5]
    assert values_1 == [10, 6, 0] and keys_1 == [11, 7, 1]


@pytest.mark.parametrize(("sparsity", "kept"), [(0.95, 29), (0.5, 288)])
def test_the_best_neurons_move_and_nothing_else(sparsity: float, kept: int) -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(2, samples=2, seed=5)
    best = attributions(model, images.flatten(0, 1), labels.flatten()).unflatten(0, (2, 2)).mean(1).flatten(1)
    editor = KnowledgeNeurons(KnowledgeNeuronsConfig(lr=0.01, max_steps=3, sparsity=sparsity))
    masks = editor.masks(model, images, labels, [0, 1])
    for number, edit in enumerate(editor.edit_many(model, images, labels, [0, 1])):
        by_layer = [masks[name][number].flatten() for name in vit.ffn_matrices(model)]
        keys, values = torch.cat(by_layer[0::2]), torch.cat(by_layer[1::2])
        assert keys.sum() + values.sum() == kept
        assert set(values.nonzero().flatten().tolist()) == set(best[number].topk((kept + 1) // 2).indices.tolist())
        assert set(keys.nonzero().flatten().tolist()) == set(best[number].topk(kept // 2).indices.tolist())
        for name, weight in edit.overrides.items():
            moved = weight != model.get_parameter(name)
            assert not (moved & ~masks[name][number]).any()
        assert any((weight != model.get_parameter(name)).any() for name, weight in edit.overrides.items())


@pytest.mark.parametrize("original", [False, True])
def test_batched_equals_one_at_a_time(original: bool) -> None:
    model = small_vit(dtype=torch.float64)
    before = copy.deepcopy(model.state_dict())
    images, labels = failures(4, samples=2, seed=5)
    editor = KnowledgeNeurons(KnowledgeNeuronsConfig(lr=0.002, max_steps=15, sparsity=0.9, original=original))
    for number, edit in enumerate(editor.edit_many(model, images, labels, [0, 1, 2, 3])):
        alone = editor.edit(model, images[number], labels[number])
        assert alone.steps == edit.steps and alone.overrides.keys() == edit.overrides.keys()
        assert any((weight != model.get_parameter(name)).any() for name, weight in edit.overrides.items())
        for name, weight in edit.overrides.items():
            torch.testing.assert_close(weight, alone.overrides[name], rtol=1e-9, atol=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_published_edit_by_hand() -> None:
    """Value (3, 4) has norm 5; rows (0, 2) and (6, 8) have norms 2 and 10: (3, 4) - 5/2 (0, 2) + 8 * 5/10 (6, 8)."""
    model = small_vit(dtype=torch.float64, embed_dim=6)
    (image,), (label,) = failures(1, seed=5)
    old = model(image).argmax(-1)
    name = vit.ffn_matrices(model)[3]
    model.get_parameter(name)[:, 7] = torch.tensor([3.0, 4.0, 0, 0, 0, 0])
    model.head.bias[old] += 100  # the same prediction, whatever was changed
    model.head.weight[old] = torch.tensor([0.0, 2.0, 0, 0, 0, 0], dtype=torch.float64)
    model.head.weight[label] = torch.tensor([6.0, 8.0, 0, 0, 0, 0], dtype=torch.float64)
    kept = torch.zeros(1, 3, vit.hidden_width(model), dtype=torch.bool)
    kept[0, 1, 7] = True
    (edit,) = overwrite(model, image[None], label[None], kept, l1=1.0, l2=8.0)
    expected = {other: model.get_parameter(other).clone() for other in vit.ffn_matrices(model)[1::2]}
    expected[name][:, 7] = torch.tensor([27.0, 31.0, 0, 0, 0, 0])
    assert edit.steps == 0 and edit.overrides.keys() == expected.keys()
    for other, weight in expected.items():
        torch.testing.assert_close(edit.overrides[other], weight, rtol=1e-12, atol=1e-12)


def test_the_published_edit_against_a_plain_loop() -> None:
    """Neuron by neuron, as the released code does it; several samples' edits are averaged."""
    model = small_vit(dtype=torch.float64)
    images, labels = failures(2, samples=2, seed=5)
    settings = KnowledgeNeuronsConfig(sparsity=0.9, original=True, l1=0.7, l2=1.9)
    edits = KnowledgeNeurons(settings).edit_many(model, images, labels, [0, 1])
    predictions = model(images.flatten(0, 1)).argmax(-1).view(2, 2)
    assert (predictions[:, 0] != predictions[:, 1]).any(), "samples that agree do not test the mean"
    for number, edit in enumerate(edits):
        best = attributions(model, images[number], labels[number]).mean(0)
        expected = {name: model.get_parameter(name).clone() for name in vit.ffn_matrices(model)[1::2]}
        for place in best.flatten().topk(29).indices.tolist():  # 58 of 576 units are kept: 29 neurons
            ffn, neuron = divmod(place, best.shape[1])
            name = vit.ffn_matrices(model)[2 * ffn + 1]
            value = model.get_parameter(name)[:, neuron]
            for sample in range(2):
                e_old = model.head.weight[predictions[number, sample]]
                e_new = model.head.weight[labels[number, sample]]
                step = 1.9 * value.norm() / e_new.norm() * e_new - 0.7 * value.norm() / e_old.norm() * e_old
                expected[name][:, neuron] += step / 2
        for name, weight in expected.items():
            torch.testing.assert_close(edit.overrides[name], weight, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("original", [False, True])
def test_an_image_that_is_not_finite_fails_alone(original: bool) -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = failures(3, seed=5)
    images[1, 0, 0, 0, 0] = torch.nan
    editor = KnowledgeNeurons(KnowledgeNeuronsConfig(lr=0.01, max_steps=2, sparsity=0.9, original=original))
    first, broken, last = editor.edit_many(model, images, labels, [0, 1, 2])
    assert isinstance(broken, FailedEdit) and "not finite" in broken.reason
    for number, edit in ((0, first), (2, last)):
        assert isinstance(edit, WeightEdit) and all(weight.isfinite().all() for weight in edit.overrides.values())
        logits = vit.forward(model, images[number], edit.overrides)
        assert F.cross_entropy(logits, labels[number]) != F.cross_entropy(model(images[number]), labels[number])
