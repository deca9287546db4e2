"""The embedded benchmark `real` agrees with the rules of its builder, and its base with the data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import load, open_images
from benchmark.data.dataset import LabelledImages, read_split
from benchmark.data.packaged import MINI, REAL
from benchmark.labels import imagenet
from benchmark.mini.art import PLANS
from benchmark.mini.emoji import BASE_STYLES, SHIFT_STYLES, STYLES, list_drawings
from benchmark.mini.probe import ARCHITECTURE, CONFIG, MEAN, SIDE, STD, fit_head
from benchmark.mini.train import CONFIG as MINI_CONFIG
from benchmark.models.load import load_base
from benchmark.models.names import EMBEDDED, PROBES, folder_of
from benchmark.predict.engine import top2
from tests.backbone import backbone as backbone

APART = ("edit", "dev_edit", "locality", "dev_locality", "train", "locality_taken", "locality_far")
PLAN = PLANS["real"]


@lru_cache
def split(name: str) -> LabelledImages:
    return read_split(REAL, name)


def test_sixteen_pair_groups_and_two_by_style() -> None:
    for name, n_pairs, others in (("edit", PLAN.pair_groups, 2), ("dev_edit", PLAN.dev_groups, 0)):
        table = split(name).table
        groups = table.groupby("group_id", sort=False)
        subset = groups["subset"].first()
        assert (subset == "pairs").sum() == n_pairs and len(subset) == n_pairs + others
        assert (groups.size() >= 8).all() and (groups["drawing"].nunique() >= 2).all()
        pairs = table[table["subset"] == "pairs"]
        assert (pairs["group_id"] == pairs["label"].astype(str) + "-" + pairs["base_prediction"].astype(str)).all()
        assert (table["strong_prediction"] == table["label"]).all()
        assert (table["base_prediction"] != table["label"]).all()
    assert set(split("edit").table["label"][split("edit").table["subset"] == "pairs"]).isdisjoint(
        split("dev_edit").table["label"]
    )


def test_images_that_must_not_change_are_right() -> None:
    taken_from = set(split("edit").table["base_prediction"])
    for name in ("locality", "dev_locality", "locality_taken", "locality_far"):
        table = split(name).table
        assert (table["base_prediction"] == table["label"]).all()
        assert (table["margin"] < 0.05).all() == (name in ("locality", "dev_locality"))
    assert len(split("locality")) == PLAN.locality and len(split("locality_far")) == PLAN.far
    counts = split("locality_taken").table["label"].value_counts()
    assert set(counts.index) <= taken_from and counts.max() == PLAN.a_class
    assert split("edit").table["base_prediction"].isin(counts.index).mean() > 0.9


def test_no_drawing_is_in_two_splits_and_no_image_is_one_of_the_minis() -> None:
    drawings = [set(split(name).table["drawing"]) for name in APART]
    assert sum(map(len, drawings)) == len(set().union(*drawings))
    hashes = [sha256 for name in APART for sha256 in split(name).table["sha256"]]
    made = [
        hashlib.sha256(split(name).image_bytes(row)).hexdigest() for name in APART for row in range(len(split(name)))
    ]
    assert made == hashes and len(set(hashes)) == len(hashes)
    assert set(hashes).isdisjoint(read_split(MINI, "edit").table["sha256"])


def test_every_label_is_the_drawings_own_and_styles_are_those_of_the_split() -> None:
    known, names = {d.name: d for d in list_drawings()}, imagenet.names()
    for name in APART:
        for row in split(name).table.itertuples():
            drawing = known[row.drawing]
            style = STYLES[drawing.style]
            assert (drawing.label, names[row.label]) == (row.label, row.class_name)
            assert (row.source, row.licence) == (style.source, style.licence)
            if name in ("edit", "dev_edit", "locality", "locality_far"):
                assert drawing.tier == "A"
        styles = set(split(name).table["drawing"].str.split("/").str[0])
        assert styles <= set(SHIFT_STYLES if name.endswith("edit") else BASE_STYLES if name == "train" else STYLES)


def test_it_is_small_and_at_the_resolution_of_the_base() -> None:
    assert sum(file.stat().st_size for file in REAL.rglob("*")) < 10e6
    assert split("edit").source.require(0).size == (SIDE, SIDE) == (PLAN.side, PLAN.side)
    assert load("real").version == PLAN.version and set(load("real-dev").splits) == {"edit", "locality"}


def test_a_search_of_its_images_finds_them_again_by_the_title_that_it_wrote_down() -> None:
    pool = open_images("real")
    assert open_images(pool.title).stamps == pool.stamps != open_images("mini").stamps
    assert len(pool) == len(split("edit")) + len(split("dev_edit"))


@pytest.mark.parametrize(
    ("name", "config"), [*((name, CONFIG) for name in PROBES), *((m, MINI_CONFIG) for m in EMBEDDED)]
)
def test_shipped_configs_and_plans_are_what_the_code_would_write(name: str, config: dict) -> None:
    folder = folder_of(name)
    assert folder is not None and json.loads((folder / "config.json").read_text()) == config
    made = folder.parents[1]
    plan = PLANS[made.name]
    assert json.loads((made / "build.json").read_text()) == {"version": plan.version, "plan": asdict(plan)}


def test_load_dataset_by_the_call_of_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.chdir(Path(__file__).parents[3])
    loaded = datasets.load_dataset("where2edit/vit-edit-bench", "real", cache_dir=str(tmp_path))
    assert {name: len(rows) for name, rows in loaded.items()} == {name: len(split(name)) for name in APART}
    assert loaded["edit"][0]["image"].size == (SIDE, SIDE)


def test_a_head_is_the_minimum_of_its_loss() -> None:
    """As another library finds it, which knows only classes that have examples, and the same penalty."""
    scipy = pytest.importorskip("scipy.optimize")
    torch.manual_seed(0)
    features, labels = torch.randn(60, 5, dtype=torch.float64), torch.arange(60) % 3
    weight, bias = fit_head(features, labels, 4, decay=0.1, iterations=500)

    def loss(flat: np.ndarray) -> float:
        head = flat.reshape(4, 6)
        logits = features.numpy() @ head[:, :5].T + head[:, 5]
        logits -= logits.max(1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return -log_p[np.arange(60), labels.numpy()].mean() + 0.05 * (head**2).sum()

    theirs = scipy.minimize(loss, np.zeros(24), method="BFGS", options={"gtol": 1e-8}).x.reshape(4, 6)
    np.testing.assert_allclose(np.column_stack([weight.numpy(), bias.numpy()]), theirs, atol=1e-4)
    assert torch.isfinite(bias).all() and bias[3] < bias[:3].min(), "of a class without an example, too"


@pytest.mark.parametrize("name", ["edit", "locality"])
def test_stored_predictions_come_out_again(name: str, backbone: Path) -> None:
    base, samples = load_base(f"dinov2-mini={backbone}"), split(name).take(range(0, len(split(name)), 8))
    assert "not the backbone" not in base.loading
    label, _, margin = top2(base.module, samples.images(base.preprocessing))
    table = samples.table
    assert (label.numpy() == table["base_prediction"])[table["margin"] > 1e-4].all()
    assert np.abs(margin.numpy() - table["margin"]).max() < 1e-3
    strong, _, _ = top2(load_base(f"dinov2-mini-strong={backbone}").module, samples.images(base.preprocessing))
    assert (strong.numpy() == table["strong_prediction"]).mean() > 0.99


def test_the_backbone_computes_what_the_transformers_library_does(backbone: Path) -> None:
    """Its own DINOv2, with the same tensors under its own names, at the resolution of the position embedding."""
    import timm
    from safetensors.torch import load_file
    from transformers import Dinov2Config, Dinov2Model

    tensors = load_file(str(backbone))
    ours = timm.create_model(ARCHITECTURE, num_classes=0)
    ours.load_state_dict(tensors)
    theirs = Dinov2Model(Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14))
    loaded = theirs.load_state_dict(_as_transformers(tensors), strict=False)
    assert (loaded.missing_keys, loaded.unexpected_keys) == (["embeddings.mask_token"], [])
    images = torch.randn(1, 3, 518, 518, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, expected = ours.eval()(images), theirs.eval()(images).last_hidden_state[:, 0]
    torch.testing.assert_close(features, expected, atol=1e-3, rtol=1e-3)
    assert CONFIG["pretrained_cfg"]["mean"] == list(MEAN) and CONFIG["pretrained_cfg"]["std"] == list(STD)


NAMES = (  # of timm, and of the transformers library, which holds queries, keys and values apart
    ("blocks.", "encoder.layer."),
    ("attn.proj", "attention.o_proj"),
    ("ls1.gamma", "layer_scale1.lambda1"),
    ("ls2.gamma", "layer_scale2.lambda1"),
    ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
    ("cls_token", "embeddings.cls_token"),
    ("pos_embed", "embeddings.position_embeddings"),
)


def _as_transformers(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    named = {}
    for name, tensor in tensors.items():
        for ours, theirs in NAMES:
            name = name.replace(ours, theirs)
        name = f"layer{name}" if name.startswith("norm.") else name
        if ".attn.qkv." in name:
            parts = zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3), strict=True)
            named |= {name.replace("attn.qkv", f"attention.{part}"): chunk for part, chunk in parts}
        else:
            named[name] = tensor
    return named
