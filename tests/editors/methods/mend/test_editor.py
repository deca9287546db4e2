"""The editor: batched as alone, its stops, what it refuses, and the network that comes with the project."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from benchmark.core.errors import UserError
from benchmark.models.identity import hash_tensors, hash_weights
from benchmark.models.load import load_base
from benchmark.models.vit import forward, last_ffn_matrices
from editors.core.edit import FailedEdit
from editors.core.registry import choose
from editors.methods.mend.checkpoint import STORE, run_metadata
from editors.methods.mend.editor import MEND, MENDConfig
from editors.methods.mend.factors import factors
from editors.methods.mend.fit import apply_edit
from editors.methods.mend.network import EditorNetwork, MENDShape, new_network
from editors.methods.mend.recipe import MENDRecipe
from editors.methods.mend.samples import EditingSamples
from editors.training.images import open_training_images
from tests.conftest import small_vit
from tests.editors.conftest import failures
from tests.editors.methods.mend.conftest import BASE, MODEL, NAMES, QUICK, lively_network, plain_network


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "mend.safetensors", new_network(MENDShape.of(MODEL, QUICK), 1))


def write_checkpoint(path: Path, network: EditorNetwork) -> Path:
    STORE.save(path, network, run_metadata(BASE, QUICK, 1, "data"), iteration=1)
    return path


def editor_with(network: EditorNetwork, path: Path, **settings) -> MEND:
    """An editor that uses this very network, in double precision."""
    editor = MEND(MENDConfig(checkpoint=write_checkpoint(path, network), **settings))
    editor.checkpoint(MODEL).network.double().load_state_dict(network.state_dict())
    return editor


def plain_descent(images, label, step_size: float, max_steps: int):
    """Gradient descent on the six matrices of a copy of the model, by torch.optim.SGD."""
    plain = copy.deepcopy(MODEL)
    optimizer = torch.optim.SGD([plain.get_parameter(name).requires_grad_() for name in NAMES], lr=step_size)
    for step in range(max_steps):
        logits = plain(images)
        if (logits.argmax(-1) == label).all():
            return plain, step
        optimizer.zero_grad()
        F.cross_entropy(logits, label).backward()
        optimizer.step()
    return plain, max_steps


@pytest.mark.parametrize(("samples", "scale", "most"), [(1, 1.0, 12), (2, 2.0, 12)])
def test_untrained_it_is_plain_gradient_descent_until_right(
    tmp_path: Path, samples: int, scale: float, most: int
) -> None:
    images, labels = failures(4, samples)
    network = plain_network(step_size=0.005)
    editor = editor_with(network, tmp_path / "plain.safetensors", max_steps=most, step_scale=scale)
    edits = editor.edit_many(MODEL, images, labels, [0] * 4)
    assert len({edit.steps for edit in edits}) > 1, "all stop together, so stopping is not tested"
    for number, edit in enumerate(edits):
        plain, steps = plain_descent(images[number], labels[number], 0.005 * scale, most)
        assert edit.steps == steps > 0 and tuple(edit.overrides) == NAMES
        for name, value in edit.overrides.items():
            torch.testing.assert_close(value, plain.get_parameter(name).detach(), rtol=1e-7, atol=1e-9)


def test_many_at_once_are_each_alone_and_the_base_stays_as_it_was(tmp_path: Path) -> None:
    images, labels = failures(3, samples=2)
    editor = editor_with(lively_network(), tmp_path / "lively.safetensors", max_steps=3, step_scale=0.01)
    before, state = hash_weights(MODEL), hash_tensors(editor.state_dict())
    together = editor.edit_many(MODEL, images, labels, [0, 1, 2])
    for number, edit in enumerate(together):
        alone = editor.edit(MODEL, images[number], labels[number])
        assert alone.steps == edit.steps
        for name in NAMES:
            assert not torch.equal(edit.overrides[name], MODEL.get_parameter(name))
            torch.testing.assert_close(edit.overrides[name], alone.overrides[name], rtol=1e-10, atol=1e-12)
    assert hash_weights(MODEL) == before and hash_tensors(editor.state_dict()) == state


def test_once_is_mends_own_edit_and_none_is_the_base(checkpoint: Path) -> None:
    images, labels = failures(2)
    once, never = (MEND(MENDConfig(checkpoint=checkpoint, max_steps=steps)) for steps in (1, 0))
    assert [edit.steps for edit in once.edit_many(MODEL, images, labels, [0, 0])] == [1, 1]
    for edit in never.edit_many(MODEL, images, labels, [0, 0]):
        assert all(torch.equal(edit.overrides[name], MODEL.get_parameter(name)) for name in NAMES)


def test_a_failure_whose_loss_is_not_finite_fails_alone(checkpoint: Path, tmp_path: Path) -> None:
    images, labels = failures(3)
    images[1] = torch.nan
    network = plain_network(step_size=0.005)
    editor = editor_with(network, tmp_path / "plain.safetensors", max_steps=2)
    good, bad, other = editor.edit_many(MODEL, images, labels, [0] * 3)
    assert bad == FailedEdit("the loss was not finite after 0 steps")
    alone = editor.edit(MODEL, images[0], labels[0])
    for name in NAMES:
        torch.testing.assert_close(good.overrides[name], alone.overrides[name])
        assert other.overrides[name].isfinite().all()
    far = MEND(MENDConfig(checkpoint=checkpoint, step_scale=1e300)).edit_many(MODEL, images[:1], labels[:1], [0])
    assert isinstance(far[0], FailedEdit) and "not finite" in far[0].reason


def test_the_registry_makes_it_and_says_where_it_comes_from(checkpoint: Path) -> None:
    editor = choose(f"mend:checkpoint={checkpoint},step_scale=0.5,max_steps=1", "tiny").make()
    assert isinstance(editor, MEND) and editor.config.step_scale == 0.5 and not editor.state_dict()
    editor.fit(MODEL, None)  # type: ignore[arg-type]
    assert hash_tensors(editor.state_dict()) == hash_tensors(new_network(MENDShape.of(MODEL, QUICK), 1).state_dict())
    assert MENDRecipe.from_json(editor.provenance()["recipe"]) == QUICK


def test_bad_input_is_named(checkpoint: Path) -> None:
    images, labels = failures(2)
    editor = MEND(MENDConfig(checkpoint=checkpoint))
    with pytest.raises(UserError, match="class indices 0 to 999"):
        editor.edit_many(MODEL, images, labels + 1000, [0, 0])
    with pytest.raises(UserError, match=r"\(3, 32, 32\), not \(3, 48, 48\)"):
        editor.edit_many(MODEL, torch.zeros(2, 1, 3, 48, 48).double(), labels, [0, 0])
    with pytest.raises(UserError, match=r"trained for tiny .* not for this base"):
        editor.edit_many(small_vit(seed=9, dtype=torch.float64), images, labels, [0, 0])
    with pytest.raises(UserError, match=r"no trained .*for this base"):
        MEND().edit_many(MODEL, images, labels, [0, 0])


def test_the_shipped_network_edits_the_mini() -> None:
    """On samples that no run trains on: one application gives nearly all of them the wanted class."""
    base = load_base("mini")
    editor = MEND()
    checkpoint = editor.checkpoint(base.module)
    seed = int(checkpoint.metadata["seed"])
    samples = EditingSamples(base, open_training_images("mini"), checkpoint.recipe, seed)
    episodes = samples.batch(range(2 * 10**9, 2 * 10**9 + 16))
    first = factors(base.module, episodes.edited, episodes.targets, samples.cut, {})
    effect = apply_edit(base.module, checkpoint.network, samples, episodes, first)
    assert (first.logits[:, 0].argmax(-1) != episodes.targets[:, 0]).all()
    assert (effect.other.argmax(-1) == episodes.targets[:, 0]).double().mean() > 0.6
    assert (effect.unrelated.argmax(-1) == episodes.target_logits.argmax(-1)).double().mean() > 0.8

    image = base.preprocessing(open_training_images("mini").open(0))[None]
    target = base.module(image).topk(3).indices[:, 2]
    edit = editor.edit(base.module, image, target)
    assert edit.steps > 0 and tuple(edit.overrides) == last_ffn_matrices(base.module)
    assert torch.equal(forward(base.module, image, edit.overrides).argmax(-1), target)
