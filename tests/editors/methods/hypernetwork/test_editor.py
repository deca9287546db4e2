"""The editor: its limits (all units, no unit), its masks, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from benchmark.core.errors import UserError
from benchmark.models import vit
from benchmark.models.identity import hash_tensors, hash_weights
from benchmark.models.load import BaseModel
from editors.core.descent import DescentConfig
from editors.core.masks import SPARSITIES, keep_top
from editors.core.registry import choose
from editors.methods.finetune import FineTune, FineTuneConfig
from editors.methods.hypernetwork.checkpoint import STORE, run_metadata
from editors.methods.hypernetwork.editor import HypernetworkConfig, HypernetworkEditor
from editors.methods.hypernetwork.network import HypernetworkShape, new_network
from editors.methods.hypernetwork.recipe import HypernetworkRecipe, preset
from tests.conftest import PREPROCESSING, small_vit
from tests.editors.conftest import failures
from tests.editors.core.test_descent import plain_finetuning

RATES = {"lr": 0.002, "max_steps": 40}
MODEL = small_vit(dtype=torch.float64, depth=2)
BASE = BaseModel("tiny", MODEL, PREPROCESSING, hash_weights(MODEL))
NAMES = vit.ffn_matrices(MODEL)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "hn.safetensors", preset("released").but(blocks=1))


def write_checkpoint(path: Path, recipe: HypernetworkRecipe, base: BaseModel = BASE) -> Path:
    network = new_network(HypernetworkShape.of(base.module, recipe), seed=1)
    STORE.save(path, network, run_metadata(base, recipe, 1, "data", None), iteration=1)
    return path


class PlainRmsprop(FineTune):
    """`ft` without its plain first step."""

    def descent_config(self) -> DescentConfig:
        return DescentConfig(self.config.lr, max_steps=self.config.max_steps)


def test_with_all_units_it_is_fine_tuning_without_the_plain_first_step(checkpoint: Path) -> None:
    images, labels = failures(3)
    editor = HypernetworkEditor(HypernetworkConfig(**RATES, sparsity=0.0, checkpoint=checkpoint))
    plain = PlainRmsprop(FineTuneConfig(**RATES))
    edits = [method.edit_many(MODEL, images, labels, [0] * 3) for method in (editor, plain)]
    for masked, whole in zip(*edits, strict=True):
        assert masked.steps == whole.steps > 0
        for name in NAMES:
            torch.testing.assert_close(masked.overrides[name], whole.overrides[name], rtol=1e-10, atol=1e-12)


def test_with_no_unit_the_base_comes_back(checkpoint: Path) -> None:
    images, labels = failures(2)
    for settings in ({"sparsity": 1.0}, {"rho": 1.5}):
        editor = HypernetworkEditor(HypernetworkConfig(**RATES, checkpoint=checkpoint, **settings))
        for edit in editor.edit_many(MODEL, images, labels, [0, 0]):
            assert all(torch.equal(edit.overrides[name], MODEL.get_parameter(name)) for name in NAMES)


def test_a_masked_edit_against_a_transcription_of_the_released_one(checkpoint: Path) -> None:
    """The released edit: top k of sigmoid(3 m), clamped at 1e-7, gradients masked, RMSProp from the first step."""
    images, labels = failures(3)
    editor = HypernetworkEditor(HypernetworkConfig(**RATES, sparsity=0.75, checkpoint=checkpoint))
    network = editor.checkpoint(MODEL).network.double()
    edits = HypernetworkEditor(editor.config).edit_many(MODEL, images, labels, [0] * 3)
    for number, edit in enumerate(edits):
        feature = MODEL.norm(MODEL.blocks(MODEL._pos_embed(MODEL.patch_embed(images[number]))))[:, 0]
        values = torch.sigmoid(3 * network(feature))[0].clamp(1e-7, 1 - 1e-7)
        threshold = values.flatten().sort(descending=True).values[round(0.25 * values.numel())]
        chosen = (values > threshold).double()  # strictly above the value behind the k-th: k units
        masks = {n: chosen[i][:, None] if "fc1" in n else chosen[i][None] for i, n in enumerate(NAMES)}
        plain, steps = plain_finetuning(MODEL, images[number], labels[number], **RATES, masks=masks, sgd_first=False)
        assert edit.steps == steps
        for name, value in edit.overrides.items():
            torch.testing.assert_close(value, plain.get_parameter(name).detach(), rtol=1e-7, atol=1e-9)


def test_masks_of_several_samples_are_averaged_and_then_binarised(checkpoint: Path) -> None:
    images, labels = failures(2, samples=3)
    editor = HypernetworkEditor(HypernetworkConfig(checkpoint=checkpoint, sparsity=0.9))
    each = torch.stack([editor.scores(MODEL, images[:, i : i + 1], labels[:, :1], [0, 0]) for i in range(3)])
    together = editor.scores(MODEL, images, labels, [0, 0])
    torch.testing.assert_close(together, each.mean(0), rtol=1e-5, atol=1e-6)
    kept_units = keep_top(together, 0.9)
    assert kept_units.flatten(1).sum(1).tolist() == [round(0.1 * 4 * 96)] * 2
    masks = editor.masks(MODEL, images, labels, [0, 0])
    assert masks[NAMES[0]].shape == (2, 96, 1) and masks[NAMES[1]].shape == (2, 1, 96)
    assert torch.equal(masks[NAMES[2]][..., 0], kept_units[:, 2])
    rho = float(together.flatten().median())
    by_threshold = HypernetworkEditor(HypernetworkConfig(checkpoint=checkpoint, rho=rho)).masks(
        MODEL, images, labels, [0, 0]
    )
    assert torch.equal(by_threshold[NAMES[1]][:, 0], together[:, 1] >= rho)


def test_the_editable_share_of_vitb16() -> None:
    """Of the feature extractor's parameters, as the paper counts them (4.2)."""
    with torch.device("meta"):
        model = timm.create_model("vit_base_patch16_224")
    extractor = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("head"))
    units, width = vit.hidden_width(model), model.embed_dim
    shares = []
    for sparsity in SPARSITIES:
        chosen = keep_top(torch.rand(1, 6, units), sparsity)
        shares.append(100 * width * int(chosen.sum()) / extractor)
    assert round(shares[0], 1) == 12.4
    assert shares[1:] == pytest.approx([8.25, 4.13, 1.65, 0.83], abs=0.01)


def test_the_registry_makes_it_and_its_tensors_enter_the_record(checkpoint: Path) -> None:
    choice = choose(f"hypernetwork:checkpoint={checkpoint},sparsity=0.5", "tiny")
    editor = choice.make()
    assert isinstance(editor, HypernetworkEditor) and editor.config.sparsity == 0.5 and not editor.state_dict()
    images, labels = failures(1)
    editor.edit(MODEL, images[0], labels[0])
    expected = new_network(HypernetworkShape.of(MODEL, preset("released").but(blocks=1)), seed=1)
    assert hash_tensors(editor.state_dict()) == hash_tensors(expected.state_dict())
    assert choose("hypernetwork", "tiny").spec == "hypernetwork:sparsity=0.95"


def test_bad_input_is_named(checkpoint: Path) -> None:
    images, labels = failures(2)
    editor = HypernetworkEditor(HypernetworkConfig(checkpoint=checkpoint))
    with pytest.raises(UserError, match="class indices 0 to 999"):
        editor.edit_many(MODEL, images, labels + 1000, [0, 0])
    with pytest.raises(UserError, match=r"\(3, 32, 32\), not \(3, 48, 48\)"):
        editor.edit_many(MODEL, torch.zeros(2, 1, 3, 48, 48).double(), labels, [0, 0])
    other = small_vit(seed=9, dtype=torch.float64, depth=2)
    with pytest.raises(UserError, match=r"trained for tiny .* not for this base"):
        editor.edit_many(other, images, labels, [0, 0])
    with pytest.raises(UserError, match="no such checkpoint"):
        HypernetworkEditor(HypernetworkConfig(checkpoint=checkpoint.with_name("none"))).edit_many(
            MODEL, images, labels, [0]
        )
    with pytest.raises(UserError, match="no trained hypernetwork for this base"):
        HypernetworkEditor().edit_many(MODEL, images, labels, [0, 0])
